"""Encode a table of mixed columns for all generators: each value is a cell of its column and a position inside the cell.

- A number column has a cell for each frequent value, and quantile cells for the rest. With declared bounds alone the cells
  are equally wide. Inside a cell, values follow a few quantiles.
- A category is its own cell.
- A missing value is the last cell of its column.
- A column that another one determines both ways (education, and its number) is left out, and restored when decoded.

The cells of a column are ordered. A cell and a position are therefore also a place in the column's distribution, and by the
normal quantile of that place a normal score. Networks and mixtures use the cells, copulas and adversaries the scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.arrays import Array, Floats, Ints
from core.errors import InputError
from training.engine.generators.protocol import check_table
from training.engine.tables.schema import CategoryColumn, ColumnSchema, NumberColumn, TableSchema
from training.engine.tables.table import Table, check_values

MOST_ATOMS, MOST_CELLS = 150, 100  # of a number column: frequent values, and quantile cells
_REPEATS = 4  # rows a distinct value, from which each value is a cell of its own
_KNOTS = 8  # steps of the quantile function inside a cell
_ROWS_TO_MERGE = 100  # below this, two columns determine each other by chance


@dataclass(frozen=True)
class ColumnCells:
    """Hold the cells of one column.

    ``knots`` (C, J + 1): values at equal steps of probability inside each cell of a number column, in order of the cells.
    Of a category column, (C, 1): the codes. ``counts`` (C + M,): rows of the fit in each cell, the missing one last if M = 1.
    """

    column: ColumnSchema
    knots: Floats
    counts: Floats

    @property
    def size(self) -> int:
        """Return the number of cells, with that of missing values."""
        return len(self.knots) + self.column.missing

    @cached_property
    def shares(self) -> Floats:
        """Return the share (C + M,) of each cell. None is zero, so that a value never seen can still be given."""
        smoothed = self.counts + 1e-3
        return np.asarray(smoothed / smoothed.sum())

    @cached_property
    def starts(self) -> Floats:
        """Return the place (C + M,) in the distribution at which each cell begins."""
        return np.asarray(np.concatenate([[0.0], np.cumsum(self.shares)[:-1]]))

    def encode(self, values: np.ndarray, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """Return the cell (n,) and the position (n,) in [0, 1) of each value. A position that means nothing is random."""
        position = rng.random(len(values))
        if isinstance(self.column, CategoryColumn):
            return np.where(values < 0, len(self.knots), values), position
        missing = np.isnan(values)
        if missing.all():
            return np.full(len(values), len(self.knots)), position
        known = np.where(missing, 0.0, values)
        cells = self._nearest(known)
        if self.column.whole:
            known = known + rng.random(len(values)) - 0.5
        low, high = self.knots[cells, 0], self.knots[cells, -1]
        wide = (high > low) & ~missing
        position[wide] = self._positions(known[wide], cells[wide])
        return np.where(missing, len(self.knots), cells), position

    def decode(self, cells: Ints, position: Floats) -> np.ndarray:
        """Return the value (n,) at each position of a cell."""
        missing = cells >= len(self.knots)
        if isinstance(self.column, CategoryColumn):
            return np.where(missing, -1, cells)
        if missing.all():
            return np.full(len(cells), np.nan)
        knots, steps = self.knots[np.where(missing, 0, cells)], self.knots.shape[1] - 1
        place = position * steps
        before = np.minimum(place.astype(np.int64), steps - 1)
        rows = np.arange(len(cells))
        low, high = knots[rows, before], knots[rows, before + 1]
        values = low + (place - before) * (high - low)
        if self.column.whole:
            values = np.round(values)
        return np.asarray(np.where(missing, np.nan, np.clip(values, self.column.low, self.column.high)))

    def _nearest(self, values: Floats) -> Ints:
        """Return the cell that holds each value, or the nearest one."""
        if not len(self.knots):
            raise InputError(f"column {self.column.name!r} held missing values alone, so no value can be given in it")
        low, high = self.knots[:, 0], self.knots[:, -1]
        below = np.clip(np.searchsorted(low, values, side="right") - 1, 0, len(low) - 1)
        above = np.minimum(below + 1, len(low) - 1)
        gap_below = np.maximum(values - high[below], np.maximum(low[below] - values, 0.0))
        gap_above = np.maximum(low[above] - values, 0.0)
        return np.where((gap_below <= 0) | (gap_below <= gap_above), below, above).astype(np.int64)

    def _positions(self, values: Floats, cells: Ints) -> Floats:
        knots, steps = self.knots[cells], self.knots.shape[1] - 1
        before = np.clip((values[:, None] >= knots).sum(axis=1) - 1, 0, steps - 1)
        rows = np.arange(len(values))
        low, high = knots[rows, before], knots[rows, before + 1]
        inside = np.clip((values - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0)
        return np.asarray(np.clip((before + inside) / steps, 0.0, 1.0 - 1e-9))


@dataclass(frozen=True)
class Encoder:
    """Encode tables of one schema.

    ``given``: the columns under which rows can be drawn. ``cells``: of each column of the schema.
    ``twin`` (columns,): the column that each merged column follows, else -1.
    ``twin_cells``: for each merged column, its cell for each cell of the other.
    """

    schema: TableSchema
    given: tuple[str, ...]
    cells: tuple[ColumnCells, ...]
    twin: Ints
    twin_cells: Mapping[int, Ints]

    @cached_property
    def own(self) -> Ints:
        """Return the positions (D,) of the columns that are not merged into another."""
        return np.flatnonzero(self.twin < 0)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the number of cells of each column that is not merged."""
        return tuple(self.cells[i].size for i in self.own)

    @cached_property
    def given_places(self) -> Ints:
        """Return the positions (G,) of the given columns among those that are not merged."""
        places = [int(np.flatnonzero(self.own == self.schema.index(name))[0]) for name in self.given]
        return np.array(places, dtype=np.int64)

    @classmethod
    def of(
        cls, table: Table, *, seed: int, given: tuple[str, ...] = (), declared_only: bool = False, scored: bool = False
    ) -> Encoder:
        """Learn the cells of a table's columns. Columns in ``given`` are never merged.

        Args: scored: merge no column, because normal scores carry the dependence.
        Raises: InputError for a table that nothing can be learned from.
        """
        check_table(table, given)
        cells = tuple(
            _cells(column, table.columns[column.name], np.random.default_rng([seed, i]), declared_only)
            for i, column in enumerate(table.schema.columns)
        )
        whole = cls(table.schema, given, cells, np.full(len(cells), -1), {})
        if declared_only or scored or table.rows < _ROWS_TO_MERGE:
            return whole
        codes = whole.encode(table, seed=seed)[0]
        fixed = {table.schema.index(name) for name in given}
        twin, twin_cells = _twins(codes, [c.size for c in cells], fixed)
        return cls(table.schema, given, cells, twin, twin_cells)

    def encode(self, table: Table, *, seed: int) -> tuple[Ints, Floats]:
        """Return cells (n, D) and positions (n, D) of the columns that are not merged."""
        pairs = [
            self.cells[i].encode(table.columns[self.schema.columns[i].name], np.random.default_rng([seed, int(i)]))
            for i in self.own
        ]
        return np.column_stack([p[0] for p in pairs]), np.column_stack([p[1] for p in pairs])

    def given_cells(self, given: Mapping[str, np.ndarray], rows: int, seed: int) -> tuple[Ints, Floats]:
        """Encode given values: cells (rows, G) and positions (rows, G), in the order of ``self.given``.

        Raises: InputError for other columns, for values that do not fit their column, and for other numbers of rows.
        """
        for name in given:
            self.schema.index(name)
        if set(given) != set(self.given):
            raise InputError(
                f"the generator was fitted with the given columns {', '.join(self.given) or 'none'}, so it cannot draw "
                f"under {', '.join(given)}; fit it with these"
            )
        cells, positions = list[Ints](), list[Floats]()
        for name in self.given:
            column, values = self.schema.column(name), np.asarray(given[name])
            if values.shape != (rows,):
                raise InputError(f"{len(values)} values of {name!r} are given for {rows} rows; give one a row")
            check_values(column, values)
            i = self.schema.index(name)
            cell, position = self.cells[i].encode(values, np.random.default_rng([seed, i]))
            cells.append(cell)
            positions.append(position)
        return np.column_stack(cells), np.column_stack(positions)

    def decode(self, cells: Ints, positions: Floats, given: Mapping[str, np.ndarray] | None = None) -> Table:
        """Return the table of cells (n, D) and positions (n, D), with given columns as they were given."""
        values = dict[str, np.ndarray]()
        places = {int(i): d for d, i in enumerate(self.own)}
        for i, column in enumerate(self.schema.columns):
            if i in places:
                values[column.name] = self.cells[i].decode(cells[:, places[i]], positions[:, places[i]])
            else:
                followed = cells[:, places[int(self.twin[i])]]
                half = np.full(len(cells), 0.5)
                values[column.name] = self.cells[i].decode(self.twin_cells[i][followed], half)
        return Table(self.schema, values | dict(given or {}))

    def scores(self, cells: Ints, positions: Floats, columns: Ints | None = None) -> Floats:
        """Return the normal scores (n, D) of cells and positions, of some columns or of all."""
        from scipy.special import ndtri

        own = [self.cells[i] for i in (self.own if columns is None else self.own[columns])]
        places = [c.starts[cells[:, d]] + c.shares[cells[:, d]] * positions[:, d] for d, c in enumerate(own)]
        return np.asarray(ndtri(np.clip(np.column_stack(places), 1e-6, 1 - 1e-6)))

    def of_scores(self, scores: Floats) -> tuple[Ints, Floats]:
        """Return the cells and positions of normal scores (n, D)."""
        from scipy.special import ndtr

        places, cells, positions = ndtr(scores), list[Ints](), list[Floats]()
        for d, i in enumerate(self.own):
            c = self.cells[i]
            cell = np.clip(np.searchsorted(c.starts, places[:, d], side="right") - 1, 0, c.size - 1)
            cells.append(cell.astype(np.int64))
            positions.append(np.clip((places[:, d] - c.starts[cell]) / c.shares[cell], 0.0, 1.0 - 1e-9))
        return np.column_stack(cells), np.column_stack(positions)

    def arrays(self) -> dict[str, Array]:
        """Return the encoder as arrays that can be packed."""
        out: dict[str, Array] = {
            "encoder_twin": self.twin,
            "encoder_given": np.array([self.schema.index(name) for name in self.given], dtype=np.int64),
        }
        for i, cells in enumerate(self.cells):
            out |= {f"encoder_{i}_knots": cells.knots, f"encoder_{i}_counts": cells.counts}
        return out | {f"encoder_{i}_twin_cells": cells for i, cells in self.twin_cells.items()}

    @classmethod
    def of_arrays(cls, schema: TableSchema, arrays: Mapping[str, Array]) -> Encoder:
        """Rebuild an encoder. Raises InputError where the arrays do not fit the schema."""
        try:
            cells = tuple(
                ColumnCells(column, _floats(arrays[f"encoder_{i}_knots"]), _floats(arrays[f"encoder_{i}_counts"]))
                for i, column in enumerate(schema.columns)
            )
            twin = arrays["encoder_twin"].astype(np.int64)
            given = tuple(schema.names[int(i)] for i in arrays["encoder_given"])
            twins = {int(i): arrays[f"encoder_{i}_twin_cells"].astype(np.int64) for i in np.flatnonzero(twin >= 0)}
        except (KeyError, IndexError) as missing:
            raise InputError(f"the stored generator lacks a part ({missing}); fit it again") from missing
        if len(twin) != len(cells) or any(len(c.counts) != c.size for c in cells):
            raise InputError("the stored generator belongs to another table; fit it again")
        return cls(schema, given, cells, twin, twins)


def _floats(array: Array) -> Floats:
    return array.astype(np.float64)


def _cells(column: ColumnSchema, values: np.ndarray, rng: np.random.Generator, declared_only: bool) -> ColumnCells:
    if isinstance(column, CategoryColumn):
        knots = np.arange(len(column.categories), dtype=np.float64)[:, None]
    else:
        known = np.clip(values[~np.isnan(values)], column.low, column.high)
        knots = _equal_cells(column) if declared_only else _learned_cells(column, known, rng)
    empty = ColumnCells(column, knots, np.zeros(len(knots) + column.missing))
    codes = empty.encode(values, np.random.default_rng(0))[0] if len(knots) else np.zeros(len(values), dtype=np.int64)
    return ColumnCells(column, knots, np.bincount(codes, minlength=empty.size).astype(np.float64))


def _equal_cells(column: NumberColumn) -> Floats:
    """Return cells of equal width between the declared bounds, or one for each whole number where they are few."""
    if column.low == column.high or (column.whole and column.high - column.low < MOST_CELLS):
        return _atoms(np.arange(np.ceil(column.low), np.floor(column.high) + 1) if column.whole else [column.low])
    edges = np.linspace(column.low, column.high, MOST_CELLS // 2 + 1)
    steps = np.linspace(0.0, 1.0, _KNOTS + 1)
    return np.asarray(edges[:-1, None] + steps * (edges[1:] - edges[:-1])[:, None])


def _learned_cells(column: NumberColumn, known: Floats, rng: np.random.Generator) -> Floats:
    """Return a cell for each frequent value, and quantile cells for the others, in order."""
    values, counts = np.unique(known, return_counts=True)
    if len(values) <= MOST_ATOMS and len(known) >= _REPEATS * len(values):
        return _atoms(values)
    wanted = int(np.clip(round(np.sqrt(len(known))), 3, MOST_CELLS))
    frequent = values[counts > max(len(known) / wanted, _REPEATS)]
    rest = np.sort(known[~np.isin(known, frequent)])
    if column.whole:
        rest = np.sort(rest + rng.random(len(rest)) - 0.5)
    cells = [*_atoms(frequent)]
    for part in np.split(rest, np.searchsorted(rest, frequent)):  # no cell spans a frequent value
        share = max(1, round(wanted * len(part) / max(len(known), 1)))
        cells += [*_quantile_cells(part, share)] if len(part) else []
    order = np.array(cells)
    return np.asarray(order[np.argsort(order.mean(axis=1))])


def _quantile_cells(values: Floats, count: int) -> Floats:
    levels = np.linspace(0.0, 1.0, count * _KNOTS + 1)
    quantiles = np.quantile(values, levels)
    return np.array([quantiles[c * _KNOTS : (c + 1) * _KNOTS + 1] for c in range(count)])


def _atoms(values: np.ndarray | list[float]) -> Floats:
    return np.repeat(np.asarray(values, dtype=np.float64)[:, None], _KNOTS + 1, axis=1)


def _twins(codes: Ints, sizes: list[int], fixed: set[int]) -> tuple[Ints, dict[int, Ints]]:
    """Return, for each column, the earlier column that determines it and that it determines, and its cells for the other's."""
    twin, cells = np.full(len(sizes), -1), dict[int, Ints]()
    distinct = [len(np.unique(codes[:, i])) for i in range(len(sizes))]
    for later in range(len(sizes)):
        for earlier in range(later):
            if later in fixed or twin[earlier] >= 0 or distinct[earlier] != distinct[later]:
                continue
            pairs = np.unique(codes[:, [earlier, later]], axis=0)
            if len(pairs) == distinct[later] and distinct[later] > 1:
                twin[later], cells[later] = earlier, np.zeros(sizes[earlier], dtype=np.int64)
                cells[later][pairs[:, 0]] = pairs[:, 1]
                break
    return twin, cells
