"""Draw the charts of a report as inline SVG, which needs no script and scales with its column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from core.arrays import Floats
from training.engine.scores.encoding import Bins
from training.engine.tables.schema import CategoryColumn, NumberColumn
from training.engine.tables.table import Table

_BARS, _CATEGORIES = 24, 8
_WIDE, _HIGH = 300, 130


def escaped(text: object) -> str:
    """Return text that is safe inside HTML and its attributes."""
    out = str(text)
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        out = out.replace(sign, entity)
    return out


def axis_number(value: float) -> str:
    """Return a number in at most three significant digits, without an exponent where it is short."""
    if not np.isfinite(value):
        return "-"
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2g}"
    return f"{float(f'{value:.3g}'):,.10g}"


def column_chart(column: NumberColumn | CategoryColumn, real: np.ndarray | None, made: np.ndarray) -> str:
    """Draw the values of one column, real ones as outlines over synthetic bars."""
    if isinstance(column, CategoryColumn):
        return _category_chart(column, real, made)
    return _number_chart(column, real, made)


def _number_chart(column: NumberColumn, real: np.ndarray | None, made: np.ndarray) -> str:
    both = [x[np.isfinite(x)] for x in (made, real) if x is not None]
    known = np.concatenate(both) if both else np.zeros(0)
    if not known.size:
        return _empty(column.name, "every value is missing")
    low, high = (float(q) for q in np.quantile(known, (0.005, 0.995)))
    if low == high:
        low, high = low - 0.5, high + 0.5
    bars = _BARS
    if column.whole:
        low, high, bars = _whole_bars(low, high)
    edges = np.linspace(low, high, bars + 1)
    heights = [np.histogram(np.clip(x, low, high), edges)[0] / max(len(x), 1) for x in both]
    top = max(float(h.max()) for h in heights) or 1.0
    step = _WIDE / bars
    fill = "".join(
        f'<rect class="made" x="{i * step:.1f}" y="{_HIGH - h / top * _HIGH:.1f}" width="{max(step - 1, 0.5):.1f}" '
        f'height="{h / top * _HIGH:.1f}"/>'
        for i, h in enumerate(heights[0])
    )
    line = _steps(heights[1] / top, step) if len(heights) > 1 else ""
    labels = _axis(axis_number(low), axis_number(high)) + _missing(real, made)
    return _svg(f"Values of {column.name}", fill + line + labels, _HIGH + 34)


def _whole_bars(low: float, high: float) -> tuple[float, float, int]:
    """Return the ends and the number of bars that each hold equally many whole numbers."""
    first, span = math.floor(low), math.floor(high) - math.floor(low) + 1
    wide = math.ceil(span / _BARS)
    bars = math.ceil(span / wide)
    return first - 0.5, first - 0.5 + bars * wide, bars


def _steps(heights: Floats, step: float) -> str:
    points = [(0.0, float(_HIGH))]
    for i, h in enumerate(heights):
        y = _HIGH - float(h) * _HIGH
        points += [(i * step, y), ((i + 1) * step, y)]
    points.append((len(heights) * step, float(_HIGH)))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="real" points="{path}"/>'


def _axis(low: str, high: str) -> str:
    return (
        f'<line class="axis" x1="0" y1="{_HIGH}" x2="{_WIDE}" y2="{_HIGH}"/>'
        f'<text x="0" y="{_HIGH + 14}">{escaped(low)}</text>'
        f'<text x="{_WIDE}" y="{_HIGH + 14}" text-anchor="end">{escaped(high)}</text>'
    )


def _missing(real: np.ndarray | None, made: np.ndarray) -> str:
    shares = [float((~np.isfinite(x)).mean()) if x.size else 0.0 for x in (real, made) if x is not None]
    if not any(shares):
        return ""
    words = " / ".join(f"{s:.1%}" for s in shares)
    which = "real / synthetic" if real is not None else "synthetic"
    return f'<text x="0" y="{_HIGH + 29}">missing: {words} ({which})</text>'


def _category_chart(column: CategoryColumn, real: np.ndarray | None, made: np.ndarray) -> str:
    size = len(column.categories) + 1
    shares = [np.bincount(x + 1, minlength=size) / max(len(x), 1) for x in (made, real) if x is not None]
    names = ("missing", *column.categories)
    order = np.argsort(-shares[-1], kind="stable")
    shown = [int(i) for i in order[:_CATEGORIES] if any(s[i] for s in shares)]
    rest = [int(i) for i in order if int(i) not in shown]
    rows = [(names[i], [float(s[i]) for s in shares]) for i in shown]
    others = [float(s[rest].sum()) for s in shares]
    if any(others):
        rows.append((f"{sum(1 for i in rest if any(s[i] for s in shares))} others", others))
    if not rows:
        return _empty(column.name, "no rows")
    top = max(max(values) for _, values in rows) or 1.0
    return _svg(
        f"Shares of {column.name}", "".join(_bar(i, *row, top) for i, row in enumerate(rows)), len(rows) * 22 + 4
    )


def _bar(index: int, name: str, values: Sequence[float], top: float) -> str:
    y, left, room = index * 22 + 2, 105, _WIDE - 105 - 44
    short = name if len(name) <= 16 else name[:15] + "…"
    out = (
        f'<text x="{left - 6}" y="{y + 13}" text-anchor="end">{escaped(short)}<title>{escaped(name)}</title></text>'
        f'<rect class="made" x="{left}" y="{y + 1}" width="{values[0] / top * room:.1f}" height="16"/>'
    )
    if len(values) > 1:
        wide = values[1] / top * room
        out += f'<rect class="real" x="{left}" y="{y + 1}" width="{wide:.1f}" height="16"/>'
    return out + f'<text x="{left + max(values) / top * room + 4:.1f}" y="{y + 13}">{values[0]:.1%}</text>'


def pair_chart(bins: Bins, pair: tuple[str, str], real: Table | None, made: Table) -> str:
    """Draw how often coarse values of two columns meet: real on the left, synthetic on the right, the same scale."""
    a, b = pair
    shape = bins.size(a), bins.size(b)
    shares = []
    for table in (real, made):
        if table is not None:
            codes = bins.codes(table)
            cells = np.bincount(codes[a] * shape[1] + codes[b], minlength=shape[0] * shape[1])
            shares.append(cells.reshape(shape) / max(table.rows, 1))
    used = [np.flatnonzero(np.sum([s.sum(axis=1 - i) for s in shares], axis=0)) for i in (0, 1)]
    top = max(float(s.max()) for s in shares) or 1.0
    side, gap = 140.0, 20.0
    names = ("real", "synthetic") if real is not None else ("synthetic",)
    body = ""
    for k, (name, share) in enumerate(zip(names, shares, strict=True)):
        left = k * (side + gap)
        body += f'<text x="{left + side / 2:.0f}" y="12" text-anchor="middle">{name}</text>'
        body += _cells(share[np.ix_(*used)] / top, left, 18.0, side)
    body += f'<text x="0" y="{18 + side + 14:.0f}">across: {escaped(b)}, down: {escaped(a)}</text>'
    return _svg(f"How often values of {a} and {b} meet", body, int(18 + side + 20))


def _cells(values: Floats, left: float, top: float, side: float) -> str:
    high, wide = (side / max(n, 1) for n in values.shape)
    return f'<rect class="frame" x="{left:.1f}" y="{top:.1f}" width="{side:.0f}" height="{side:.0f}"/>' + "".join(
        f'<rect class="cell" x="{left + j * wide:.1f}" y="{top + i * high:.1f}" width="{wide:.1f}" height="{high:.1f}" '
        f'fill-opacity="{float(values[i, j]) ** 0.5:.2f}"/>'
        for i in range(values.shape[0])
        for j in range(values.shape[1])
        if values[i, j] > 0
    )


def curve_chart(curves: Mapping[str, tuple[Floats, Floats]]) -> str:
    """Draw losses by step: ``curves`` maps a name to steps (n,) and losses (n,)."""
    usable = {n: _finite(*xy) for n, xy in curves.items()}
    usable = {n: xy for n, xy in usable.items() if len(xy[0])}
    if not usable:
        return ""
    wide, high, left = 640, 220, 46
    steps, losses = (np.concatenate([xy[i] for xy in usable.values()]) for i in (0, 1))
    first, last = float(steps.min()), float(max(steps.max(), steps.min() + 1))
    low, top = (float(q) for q in np.quantile(losses, (0.0, 0.98)))
    low, top = (low, top) if top > low else (low - 0.5, low + 0.5)
    body = f'<line class="axis" x1="{left}" y1="{high}" x2="{wide}" y2="{high}"/>'
    for i, (name, (x, y)) in enumerate(usable.items()):
        px = left + (x - first) / (last - first) * (wide - left)
        py = high - (np.clip(y, low, top) - low) / (top - low) * (high - 14)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px, py, strict=True))
        body += f'<polyline class="curve c{i % 3}" points="{points}"/>'
        body += f'<text class="name c{i % 3}" x="{wide - 6}" y="{16 + 16 * i}" text-anchor="end">{escaped(name)}</text>'
    body += f'<text x="{left - 6}" y="{high}" text-anchor="end">{axis_number(low)}</text>'
    body += f'<text x="{left - 6}" y="22" text-anchor="end">{axis_number(top)}</text>'
    body += f'<text x="{left}" y="{high + 16}">step {axis_number(first)}</text>'
    body += f'<text x="{wide}" y="{high + 16}" text-anchor="end">step {axis_number(last)}</text>'
    return _svg("Loss by step", body, high + 22, wide)


def _finite(steps: Floats, losses: Floats) -> tuple[Floats, Floats]:
    known = np.isfinite(steps) & np.isfinite(losses)
    x, y = np.asarray(steps, np.float64)[known], np.asarray(losses, np.float64)[known]
    every = max(1, len(x) // 400)
    return x[::every], y[::every]


def _empty(name: str, why: str) -> str:
    return _svg(f"Values of {name}", f'<text x="0" y="20">{escaped(why)}</text>', 30)


def _svg(title: str, body: str, high: int, wide: int = _WIDE) -> str:
    name = escaped(title)
    return f'<svg viewBox="0 0 {wide} {high}" role="img" aria-label="{name}"><title>{name}</title>{body}</svg>'
