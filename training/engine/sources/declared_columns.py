"""Turn the declared columns of released records into the schema and the values of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.arrays import Floats
from privacy.engine.anonymize.columns import Column
from training.engine.tables.schema import CategoryColumn, NumberColumn, TableSchema
from training.engine.tables.table import Table


def declared_schema(columns: Sequence[Column]) -> TableSchema:
    """Return the schema of columns with public bounds and categories. Nothing is learned from rows."""
    return TableSchema(
        tuple(
            CategoryColumn(c.name, c.categories) if c.categories else NumberColumn(c.name, c.low, c.high)
            for c in columns
        )
    )


def table_of_records(values: Floats, columns: Sequence[Column]) -> Table:
    """Return complete released records (n, F) as a table. Released rows name nobody, so each counts as a person of its own.

    Raises: InputError for a value outside its column.
    """
    table = Table(
        declared_schema(columns),
        {
            c.name: np.ascontiguousarray(values[:, j]).astype(np.int64 if c.categories else np.float64)
            for j, c in enumerate(columns)
        },
    )
    table.check()
    return table
