"""Hold rows of mixed columns, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import Array, Bools, Ints
from core.errors import InputError
from training.engine.tables.schema import CategoryColumn, ColumnSchema, TableSchema


@dataclass(frozen=True)
class Table:
    """Hold a table of n rows.

    ``columns``: numbers are float64 with NaN for missing, categories are int64 codes with -1 for missing; each (n,).
    ``person``: (n,) whose row it is, where rows belong to people.
    """

    schema: TableSchema
    columns: Mapping[str, np.ndarray]
    person: Ints | None = None

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return len(self.columns[self.schema.names[0]])

    def take(self, index: Array) -> Table:
        """Return the rows at these positions (or where a mask holds)."""
        person = None if self.person is None else self.person[index]
        return Table(self.schema, {name: self.columns[name][index] for name in self.schema.names}, person)

    def part(self, names: tuple[str, ...]) -> Table:
        """Return some of the columns. Raises InputError for an unknown name."""
        return Table(self.schema.part(names), {name: self.columns[name] for name in names}, self.person)

    def split(self, share: float, seed: int) -> tuple[Table, Table]:
        """Split into about ``share`` of the rows and the rest, at random. No person is in both parts.

        Raises: InputError unless 0 < share < 1.
        """
        if not 0.0 < share < 1.0:
            raise InputError(f"the share of a split is {share:g}; give one between 0 and 1")
        unit = np.arange(self.rows) if self.person is None else np.unique(self.person, return_inverse=True)[1]
        units = int(unit.max()) + 1 if len(unit) else 0
        chosen = np.zeros(units, dtype=bool)
        chosen[np.random.default_rng(seed).permutation(units)[: round(share * units)]] = True
        first = chosen[unit]
        return self.take(first), self.take(~first)

    def check(self) -> None:
        """Check lengths, types and values. Raises InputError that names the column and the row."""
        absent = [name for name in self.schema.names if name not in self.columns]
        if absent:
            raise InputError(f"the table lacks the column {absent[0]!r}")
        for column in self.schema.columns:
            values = self.columns[column.name]
            if values.shape != (self.rows,):
                raise InputError(f"column {column.name!r} has {len(values)} rows, the first column {self.rows}")
            check_values(column, values)
        if self.person is not None and len(self.person) != self.rows:
            raise InputError(f"{len(self.person)} rows name a person, but the table has {self.rows} rows")


def check_values(column: ColumnSchema, values: np.ndarray) -> None:
    """Check the values (n,) of one column. Raises InputError that names the column and the row."""
    expected = np.int64 if isinstance(column, CategoryColumn) else np.float64
    if values.dtype != expected:
        raise InputError(f"column {column.name!r} has the type {values.dtype}; give {np.dtype(expected)}")
    if isinstance(column, CategoryColumn):
        missing = values == -1
        wrong = (values < -1) | (values >= len(column.categories))
        problem = f"is no code of its {len(column.categories)} categories"
    else:
        missing, wrong = np.isnan(values), np.isinf(values)
        problem = "is infinite"
    _refuse(column, wrong, problem)
    if not column.missing:
        _refuse(column, missing, "is missing, although the column is declared without missing values")


def _refuse(column: ColumnSchema, wrong: Bools, problem: str) -> None:
    if wrong.any():
        raise InputError(
            f"row {int(wrong.argmax())} of column {column.name!r} {problem}; correct it or leave the row out"
        )
