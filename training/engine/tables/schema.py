"""Describe the columns of a table: numbers with bounds, and categories. A schema validates itself.

Bounds and categories are always present. They are declared where rows are private, and learned
(``training.engine.tables.infer``) only from rows that carry no private information.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.errors import InputError


@dataclass(frozen=True)
class NumberColumn:
    """Describe a column of numbers from ``low`` to ``high``.

    ``whole``: whether all values are integers. ``missing``: whether values may be missing (NaN).
    """

    name: str
    low: float
    high: float
    whole: bool = False
    missing: bool = False

    def __post_init__(self) -> None:
        """Check the column. Raises InputError."""
        _check_name(self.name)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise InputError(
                f"column {self.name!r} has the bounds {self.low:g} to {self.high:g}; give finite ones, the lower first"
            )
        if self.whole and math.floor(self.high) < math.ceil(self.low):
            raise InputError(
                f"column {self.name!r} holds whole numbers, but there is none from {self.low:g} to {self.high:g}"
            )


@dataclass(frozen=True)
class CategoryColumn:
    """Describe a column of categories. A value is the index of its category, or -1 where it is missing."""

    name: str
    categories: tuple[str, ...]
    missing: bool = False

    def __post_init__(self) -> None:
        """Check the column. Raises InputError."""
        _check_name(self.name)
        twice = _repeated(self.categories)
        if twice:
            raise InputError(f"column {self.name!r} has the category {twice[0]!r} twice; name each once")
        if not self.categories and not self.missing:
            raise InputError(f"column {self.name!r} has no category and no missing values, so it can hold nothing")


ColumnSchema = NumberColumn | CategoryColumn


@dataclass(frozen=True)
class TableSchema:
    """Hold the columns of a table, in order."""

    columns: tuple[ColumnSchema, ...]

    def __post_init__(self) -> None:
        """Check the columns. Raises InputError."""
        if not self.columns:
            raise InputError("a table needs at least one column")
        twice = _repeated(self.names)
        if twice:
            raise InputError(f"the table has the column {twice[0]!r} twice; name each column once")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the columns' names, in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> ColumnSchema:
        """Return the column with this name. Raises InputError that lists the names."""
        return self.columns[self.index(name)]

    def index(self, name: str) -> int:
        """Return the position of the column with this name. Raises InputError that lists the names."""
        if name not in self.names:
            raise InputError(f"the table has no column {name!r}; its columns are: {', '.join(self.names)}")
        return self.names.index(name)

    def part(self, names: tuple[str, ...]) -> TableSchema:
        """Return the schema of some columns, in the given order. Raises InputError for an unknown name."""
        return TableSchema(tuple(self.column(name) for name in names))


def _repeated(names: tuple[str, ...]) -> list[str]:
    return [name for i, name in enumerate(names) if name in names[:i]]


def _check_name(name: str) -> None:
    if not name.strip():
        raise InputError("a column has no name; give each column one")
