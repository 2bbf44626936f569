"""Turn tables into numbers for the scores: a matrix for trees, a space for distances, and coarse codes for counting.

Everything is fitted on the training rows alone, so that no synthetic row can move its own yardstick.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.arrays import Bools, Floats, Ints
from training.engine.tables.schema import CategoryColumn, TableSchema
from training.engine.tables.table import Table

_TREE_CATEGORIES = 250  # scikit-learn's trees take codes below 255
_SPACE_CATEGORIES = 63
_MISSING_STEP = 1.0  # distance between a missing value and any other


def tree_matrix(table: Table, kept: dict[str, Ints]) -> Floats:
    """Return the columns as floats (rows, F), NaN where missing. ``kept`` numbers the categories that trees distinguish."""
    columns = []
    for column in table.schema.columns:
        values = table.columns[column.name]
        if isinstance(column, CategoryColumn):
            known = values >= 0
            codes = np.full(len(values), np.nan)
            codes[known] = kept[column.name][values[known]]
            columns.append(codes)
        else:
            columns.append(np.asarray(values, dtype=np.float64))
    return np.column_stack(columns) if columns else np.zeros((table.rows, 0))


def tree_categories(train: Table, most: int = _TREE_CATEGORIES) -> dict[str, Ints]:
    """Number each column's categories by how often they occur, the rarest together as ``most``."""
    out = {}
    for column in train.schema.columns:
        if isinstance(column, CategoryColumn):
            codes = train.columns[column.name]
            counts = np.bincount(codes[codes >= 0], minlength=len(column.categories))
            rank = np.empty(len(counts), np.int64)
            rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
            out[column.name] = np.minimum(rank, most)
    return out


def categorical_columns(schema: TableSchema) -> Bools:
    """Return which columns (F,) hold categories."""
    return np.array([isinstance(column, CategoryColumn) for column in schema.columns], bool)


@dataclass(frozen=True)
class DistanceSpace:
    """Place rows in a space where a changed category and a difference of about 1.4 standard deviations weigh the same.

    Numbers are centred at the median, divided by a robust scale and passed through asinh. An outlier stays an outlier, and no
    single column rules.
    """

    schema: TableSchema
    centres: dict[str, tuple[float, float]]
    kept: dict[str, Ints]

    @classmethod
    def of(cls, train: Table) -> DistanceSpace:
        """Fit centres and scales on the training rows."""
        numbers = [c.name for c in train.schema.columns if not isinstance(c, CategoryColumn)]
        centres = {name: _centre(train.columns[name]) for name in numbers}
        return cls(train.schema, centres, tree_categories(train, _SPACE_CATEGORIES))

    def parts(self, table: Table) -> list[Floats]:
        """Return each column's coordinates, (rows, k) for a column with k of them."""
        return [self._part(table, column.name) for column in self.schema.columns]

    def place(self, table: Table) -> Floats:
        """Return the coordinates (rows, D) of all columns."""
        parts = self.parts(table)
        return np.concatenate(parts, axis=1) if parts else np.zeros((table.rows, 0))

    def _part(self, table: Table, name: str) -> Floats:
        values = table.columns[name]
        if name in self.centres:
            centre, scale = self.centres[name]
            missing = ~np.isfinite(values)
            place = np.arcsinh((np.where(missing, centre, values) - centre) / scale)
            return np.column_stack([place / 2**0.5, missing * _MISSING_STEP])
        codes = np.where(values >= 0, self.kept[name][np.maximum(values, 0)], -1)
        width = int(self.kept[name].max(initial=0)) + 1
        return np.asarray((codes[:, None] == np.arange(-1, width)) / 2**0.5, dtype=np.float64)


def _centre(values: Floats) -> tuple[float, float]:
    """Return the median and a robust scale of the values that are present."""
    present = values[np.isfinite(values)]
    if not present.size:
        return 0.0, 1.0
    low, middle, high = np.quantile(present, (0.25, 0.5, 0.75))
    for scale in ((high - low) / 1.349, present.std()):
        if np.isfinite(scale) and scale > 1e-9 * max(1.0, abs(middle)):
            return float(middle), float(scale)
    return float(middle), 1.0


@dataclass(frozen=True)
class Bins:
    """Coarse codes of columns, for counting: at most ``most`` bins a column, and one more for a missing value."""

    schema: TableSchema
    edges: dict[str, Floats]
    kept: dict[str, Ints]

    @classmethod
    def of(cls, train: Table, most: int) -> Bins:
        """Cut numbers at the training rows' quantiles, and keep the commonest categories."""
        edges = {}
        for column in train.schema.columns:
            if not isinstance(column, CategoryColumn):
                values = train.columns[column.name]
                present = values[np.isfinite(values)]
                cuts = np.quantile(present, np.arange(1, most) / most) if present.size else np.zeros(0)
                edges[column.name] = np.unique(cuts)
        return cls(train.schema, edges, tree_categories(train, most - 1))

    def codes(self, table: Table) -> dict[str, Ints]:
        """Return the codes (rows,) of each column, 0 where a value is missing."""
        out = {}
        for column in self.schema.columns:
            values = table.columns[column.name]
            if isinstance(column, CategoryColumn):
                code = np.where(values >= 0, self.kept[column.name][np.maximum(values, 0)] + 1, 0)
            else:
                code = np.where(np.isfinite(values), np.searchsorted(self.edges[column.name], values, "right") + 1, 0)
            out[column.name] = code.astype(np.int64)
        return out

    def size(self, name: str) -> int:
        """Return the number of codes of a column."""
        if name in self.edges:
            return len(self.edges[name]) + 2
        return int(self.kept[name].max(initial=0)) + 2
