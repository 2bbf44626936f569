"""Helpers for techniques that release rows: an order that reveals nothing, rounded counts for the log, values as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from privacy.engine.anonymize.columns import Column
from privacy.engine.anonymize.protocol import Arrays, FeatureRecords, ReleasedRows
from privacy.engine.dp.coarse_counts import two_digits


def unordered(rows: np.ndarray) -> np.ndarray:
    """Return the order of rows by their released values, which hides the order in which records were read."""
    return np.asarray(np.lexsort(np.flip(rows, axis=1).T))


def rows_logged(records: FeatureRecords, rows_out: int, loss: float) -> dict[str, Any]:
    """Return the log's columns about rows: counts to two digits, and ``loss``, the lost share of the columns' ranges."""
    rows_in = two_digits(len(records.values) + records.left_out)
    return {"rows_in": rows_in, "rows_out": two_digits(rows_out), "information_loss": loss}


def as_text(values: Sequence[float], columns: Sequence[Column]) -> list[str]:
    """Return one row as text, with categories by name."""
    return [c.categories[int(v)] if c.categories else f"{v:.6g}" for v, c in zip(values, columns, strict=True)]


def boxes(columns: Sequence[Column], named: Sequence[tuple[str, ...]], arrays: Arrays) -> ReleasedRows:
    """Return rows of spans, from arrays ``low`` and ``high`` (n, F).

    ``named`` holds each column's category names, empty for a number.
    """
    rows = (
        [_box(names, low, high) for names, low, high in zip(named, lows, highs, strict=True)]
        for lows, highs in zip(arrays["low"].tolist(), arrays["high"].tolist(), strict=True)
    )
    return ReleasedRows([c.name for c in columns], rows)


def _box(names: tuple[str, ...], low: float, high: float) -> str:
    if names:
        return "|".join(names[int(low) : int(high) + 1])
    return f"{low:.6g}" if low == high else f"{low:.6g}..{high:.6g}"
