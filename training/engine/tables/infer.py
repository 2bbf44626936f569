"""Learn a schema from rows. Only for rows that carry no private information, or inside the trust boundary."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from core.arrays import Ints
from core.errors import InputError
from training.engine.tables.schema import CategoryColumn, ColumnSchema, NumberColumn, TableSchema
from training.engine.tables.table import Table


def schema_of_rows(columns: Mapping[str, np.ndarray]) -> TableSchema:
    """Learn bounds and categories from columns (n,) of numbers, or of texts with None for missing.

    Raises: InputError for an infinite number, and for a column that is neither.
    """
    return TableSchema(tuple(_column(name, np.asarray(values)) for name, values in columns.items()))


def table_of_rows(columns: Mapping[str, np.ndarray], person: Ints | None = None) -> Table:
    """Return the table of columns as ``schema_of_rows`` takes them. Raises InputError as that does."""
    schema = schema_of_rows(columns)
    table = Table(schema, {c.name: values_of(c, np.asarray(columns[c.name])) for c in schema.columns}, person)
    table.check()
    return table


def values_of(column: ColumnSchema, values: np.ndarray) -> np.ndarray:
    """Convert raw values (n,) to those of a table's column. Raises InputError for an unknown category."""
    if isinstance(column, NumberColumn):
        return values.astype(np.float64)
    code = {category: i for i, category in enumerate(column.categories)}
    texts = [None if _is_missing(value) else str(value) for value in values]
    unknown = [row for row, text in enumerate(texts) if text is not None and text not in code]
    if unknown:
        raise InputError(
            f"row {unknown[0]} of column {column.name!r} holds {texts[unknown[0]]!r}, which is no category"
        )
    return np.array([-1 if text is None else code[text] for text in texts], dtype=np.int64)


def _column(name: str, values: np.ndarray) -> ColumnSchema:
    if values.dtype.kind in "iuf":
        return _number(name, values.astype(np.float64))
    if values.dtype.kind not in "OUSb":
        raise InputError(f"column {name!r} has the type {values.dtype}; give numbers or texts")
    known = sorted({str(value) for value in values if not _is_missing(value)})
    return CategoryColumn(name, tuple(known), missing=any(_is_missing(value) for value in values) or not known)


def _number(name: str, values: np.ndarray) -> NumberColumn:
    infinite = np.isinf(values)
    if infinite.any():
        raise InputError(
            f"row {int(infinite.argmax())} of column {name!r} is infinite; correct it or leave the row out"
        )
    known = values[~np.isnan(values)]
    if not len(known):
        return NumberColumn(name, 0.0, 0.0, missing=True)
    whole = bool((known == np.round(known)).all())
    return NumberColumn(name, float(known.min()), float(known.max()), whole=whole, missing=len(known) < len(values))


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
