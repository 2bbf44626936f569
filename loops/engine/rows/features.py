"""Convert a feature's cell in a row to its number in a state array."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from core.neutral_text import with_neutral_spellings
from loops.engine.rows.cells import RowError, is_missing, parse_number, quoted_list, without_zero_decimals
from loops.engine.rows.outcomes import Note, transform_function
from loops.engine.spec import Feature, LoopSpec

Cells = Mapping[str, str]


def feature_reader(spec: LoopSpec, feature: Feature, column: str) -> Callable[[Cells, list[Note]], float]:
    """Build the function that reads one feature from a row's cells and appends notes on what it changed.

    The function raises RowError for a missing value without a fill value, an unknown category or an invalid number.
    """
    missing = spec.imports.missing
    fill = missing.get(feature.name) if isinstance(missing, dict) else None
    if feature.is_category:
        return _category_reader(spec, feature, column, fill)
    return _number_reader(spec, feature, column, None if fill is None else float(fill))


def _number_reader(
    spec: LoopSpec, feature: Feature, column: str, fill: float | None
) -> Callable[[Cells, list[Note]], float]:
    low, high = feature.range
    convert, decimal = transform_function(spec.imports.transforms.get(feature.name)), spec.imports.decimal

    def read(row: Cells, notes: list[Note]) -> float:
        value = convert(parse_number(row.get(column, ""), column, decimal))
        if math.isnan(value):
            if fill is None:
                raise RowError("missing_value", f"column {column!r} has no value")
            notes.append(("filled", column))
            value = fill
        if low <= value <= high:
            return value
        notes.append(("clamped", column))
        return low if value < low else high

    return read


def _category_reader(
    spec: LoopSpec, feature: Feature, column: str, fill: float | str | None
) -> Callable[[Cells, list[Note]], float]:
    own = {c: float(i) for i, c in enumerate(feature.categories)}
    index = own | {v: own[c] for v, c in spec.imports.categories.get(feature.name, {}).items()}
    folded = {k.lower(): i for k, i in with_neutral_spellings(index).items()}
    filled = None if fill is None else own[str(fill)]

    def read(row: Cells, notes: list[Note]) -> float:
        cell = row.get(column, "")
        category = index.get(cell)
        if category is None:
            word = cell.strip().lower()
            category = folded.get(word, folded.get(without_zero_decimals(word)))
        if category is not None:
            return category
        if not is_missing(cell):
            raise RowError(
                "unknown_category", f"column {column!r} is not a category of {feature.name!r} ({quoted_list([*index])})"
            )
        if filled is None:
            raise RowError("missing_value", f"column {column!r} is empty")
        notes.append(("filled", column))
        return filled

    return read
