"""Convert tables to JSON and to arrays that can be stored (``core.arrays.pack_arrays``), and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from core.arrays import Array
from core.errors import InputError
from training.engine.tables.schema import CategoryColumn, ColumnSchema, NumberColumn, TableSchema
from training.engine.tables.table import Table

_MISSING_CATEGORY = -1


def schema_as_json(schema: TableSchema) -> list[dict[str, Any]]:
    """Return the columns in order: a number has bounds, and a category its categories."""
    return [_column_as_json(column) for column in schema.columns]


def schema_of_json(columns: Sequence[Mapping[str, Any]]) -> TableSchema:
    """Rebuild a schema from ``schema_as_json``. Raises InputError for columns that make no schema."""
    return TableSchema(tuple(_column_of_json(column) for column in columns))


def table_arrays(table: Table) -> dict[str, Array]:
    """Return the columns by place. A missing number is stored as the column's lower bound, with a mask beside it."""
    out: dict[str, Array] = {}
    for place, column in enumerate(table.schema.columns):
        values = table.columns[column.name]
        if isinstance(column, NumberColumn) and column.missing:
            missing = np.isnan(values)
            out[f"missing_{place}"] = missing
            values = np.where(missing, column.low, values)
        out[f"column_{place}"] = values
    return out


def table_of_arrays(schema: TableSchema, arrays: Mapping[str, Array]) -> Table:
    """Rebuild a table from ``table_arrays``. Raises InputError for arrays that do not fit the schema."""
    columns: dict[str, np.ndarray] = {}
    for place, column in enumerate(schema.columns):
        if f"column_{place}" not in arrays:
            raise InputError(f"the stored rows lack the column {column.name!r}; generate them again")
        values = arrays[f"column_{place}"]
        if f"missing_{place}" in arrays:
            values = np.where(arrays[f"missing_{place}"], np.nan, values)
        columns[column.name] = values
    table = Table(schema, columns)
    table.check()
    return table


def table_texts(table: Table) -> Iterator[list[str]]:
    """Yield the rows as texts: categories by name, whole numbers without a point, and an empty text for what is missing."""
    cells = [_texts(column, table.columns[column.name]) for column in table.schema.columns]
    return (list(row) for row in zip(*cells, strict=True))


def _texts(column: ColumnSchema, values: np.ndarray) -> list[str]:
    if isinstance(column, CategoryColumn):
        return ["" if code == _MISSING_CATEGORY else column.categories[code] for code in values.tolist()]
    text = "{:.0f}" if column.whole else "{:.6g}"
    return ["" if np.isnan(value) else text.format(value) for value in values.tolist()]


def _column_as_json(column: ColumnSchema) -> dict[str, Any]:
    if isinstance(column, CategoryColumn):
        return {"name": column.name, "categories": list(column.categories), "missing": column.missing}
    bounds = [float(column.low), float(column.high)]
    return {"name": column.name, "bounds": bounds, "whole": column.whole, "missing": column.missing}


def _column_of_json(column: Mapping[str, Any]) -> ColumnSchema:
    if "categories" in column:
        return CategoryColumn(column["name"], tuple(column["categories"]), column["missing"])
    low, high = column["bounds"]
    return NumberColumn(column["name"], low, high, column["whole"], column["missing"])
