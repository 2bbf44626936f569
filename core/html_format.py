"""Format summaries, numbers and intervals for pages. All HTML is escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

NOTHING = "-"
NOT_KNOWN = "not known"  # shown in place of a number that is not finite, or that could not be computed
NOT_ENOUGH_PEOPLE = "too few people to say"  # shown in place of an estimate whose interval covers everything
_LARGE = 1e6  # from here on a number that is not whole has three significant digits
_NONE = SafeString(NOTHING)
_EMPTY = SafeString("")


def number_text(value: float | int | None) -> str:
    """Format a number with its meaningful digits only: 15,000 or 0.1317 or 1e-05 or -4.62e+11."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return NOT_KNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (value.is_integer() and abs(value) < _LARGE):
        return f"{value:,.0f}"
    if abs(value) >= _LARGE:
        return f"{value:.3g}"
    return f"{value:,.1f}" if abs(value) >= 1_000 else f"{value:.4g}"


def duration_text(value: float | None) -> str:
    """Format a duration given in seconds: 0.04 s, 7.9 s or 2 min 11 s."""
    if value is None:
        return NOTHING
    if value < 60:
        return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def html_clamped(text: str, longest: int = 110) -> SafeString:
    """Format a text for a table cell. A text above ``longest`` characters shows its beginning and expands on click."""
    if len(text) <= longest:
        return format_html("{}", text or NOTHING)
    start = text[:longest].rsplit(" ", 1)[0]
    return format_html('<details class="r3-more"><summary><span>{} …</span></summary>{}</details>', start, text)


def html_facts(value: Any) -> SafeString:
    """Format a JSON value without JSON syntax: a mapping becomes a definition list, a list of mappings becomes a table."""
    if value is None or (not value and isinstance(value, (str, Mapping, list, tuple))):
        return _NONE
    if isinstance(value, Mapping):
        rows = format_html_join("", "<dt>{}</dt><dd>{}</dd>", ((_words(k), html_facts(v)) for k, v in value.items()))
        return format_html('<dl class="r3-facts">{}</dl>', rows)
    if isinstance(value, (list, tuple)):
        return _table(value) if all(isinstance(v, Mapping) for v in value) else _listed(value)
    if isinstance(value, (int, float)):
        return format_html("{}", number_text(value))
    return format_html("{}", value)


def _listed(values: Sequence[Any]) -> SafeString:
    return format_html_join(", ", "{}", ((html_facts(v),) for v in values))


def _table(rows: Sequence[Mapping[str, Any]]) -> SafeString:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    head = format_html_join("", '<th scope="col">{}</th>', ((_words(c),) for c in columns))
    cells = (format_html_join("", "<td>{}</td>", ((html_facts(row.get(c)),) for c in columns)) for row in rows)
    body = format_html_join("", "<tr>{}</tr>", ((c,) for c in cells))
    return format_html(
        '<div class="r3-scroll" tabindex="0" role="region" aria-label="table"><table class="r3-table">'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
        head,
        body,
    )


def _words(key: object) -> str:
    return str(key).replace("_", " ")


def html_meter(fraction: float, label: str) -> SafeString:
    """Draw a progress bar with its label. ``fraction`` is clamped to [0, 1]."""
    percent = round(100 * min(max(fraction, 0.0), 1.0))
    return format_html(
        '<span class="r3-meter"><progress max="100" value="{}" aria-label="{}"></progress><span>{}</span></span>',
        percent,
        label,
        label,
    )


def interval_plot(value: float | None, low: float | None, high: float | None, bar: float | None) -> SafeString:
    """Draw a line from ``low`` to ``high`` with a dot at ``value`` and a vertical mark at ``bar``.

    Each row has its own scale. The picture is hidden from screen readers because the numbers stand beside it.
    Returns: an SVG, or an empty string when there is nothing to draw.
    """
    points = [x for x in (value, low, high, bar) if x is not None]
    if value is None or len(points) < 2 or max(points) == min(points):
        return _EMPTY
    start, width = min(points), max(points) - min(points)

    def at(x: float) -> str:
        return f"{8 + 144 * (x - start) / width:.1f}"

    line = format_html(
        '<line class="r3-line" x1="{}" x2="{}" y1="12" y2="12"/>',
        at(value if low is None else low),
        at(value if high is None else high),
    )
    upright = _EMPTY
    if bar is not None:
        upright = format_html('<line class="r3-bar" x1="{}" x2="{}" y1="2" y2="22"/>', at(bar), at(bar))
    return format_html(
        '<svg class="r3-plot" viewBox="0 0 160 24" width="160" height="24" aria-hidden="true">{}{}'
        '<circle class="r3-dot" cx="{}" cy="12" r="4"/></svg>',
        line,
        upright,
        at(value),
    )
