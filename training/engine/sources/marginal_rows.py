"""Draw rows whose marginals are the noised ones of a release: a mixture of latent classes fitted to them.

The mixture maximises the composite likelihood of all tables: sum over tables of shares . log(predicted shares). Each step of
expectation maximisation raises it. It reads the noised tables alone, so it is post-processing.

Source: Varin, Reid and Firth (2011), An overview of composite likelihood methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats, Ints
from core.progress import ReportProgress, no_progress
from privacy.engine.anonymize.columns import Column
from privacy.engine.anonymize.marginals import MarginalTables, cells_of, pair_cells_of
from training.engine.sources.declared_columns import table_of_records
from training.engine.tables.table import Table

_CLASSES, _ITERATIONS = 40, 1_000
_PRIOR = 0.0002  # shares of a table that each class's own marginal counts as
_LEAST = 1e-9


@dataclass(frozen=True)
class MarginalMixture:
    """Hold a fitted mixture over the cells of columns: ``weights`` (K,), and for each column shares (K, C) of its cells."""

    columns: tuple[Column, ...]
    weights: Floats
    cells: tuple[Floats, ...]

    def sample(self, rows: int, *, seed: int) -> Table:
        """Draw rows. A number is uniform inside its cell."""
        rng = np.random.default_rng([seed, 3])
        classes = rng.choice(len(self.weights), size=rows, p=self.weights)
        values = [self._values(j, classes, rng) for j in range(len(self.columns))]
        return table_of_records(np.column_stack(values), self.columns)

    def _values(self, j: int, classes: Ints, rng: np.random.Generator) -> Floats:
        reached = np.cumsum(self.cells[j], axis=1)
        place = rng.random(len(classes))[:, None] * reached[classes, -1:]
        cell = np.minimum((reached[classes] < place).sum(axis=1), reached.shape[1] - 1)
        column, within = self.columns[j], rng.random(len(classes))
        if column.categories:
            return np.asarray(cell, dtype=np.float64)
        return np.asarray(column.low + (column.high - column.low) * (cell + within) / cells_of(column))


def fit_marginals(
    tables: MarginalTables, columns: Sequence[Column], *, seed: int, report: ReportProgress = no_progress
) -> MarginalMixture:
    """Fit the mixture to noised tables.

    Args:
        columns: those of the release, in its order.
        report: receives the progress. It may raise, to cancel.
    """
    rng = np.random.default_rng([seed, 4])
    singles = [np.maximum(table, _LEAST) / np.maximum(table, _LEAST).sum() for table in tables.singles]
    weights = np.full(_CLASSES, 1 / _CLASSES)
    cells = [table * rng.gamma(1.0, size=(_CLASSES, len(table))) for table in singles]
    cells = [shares / shares.sum(axis=1, keepdims=True) for shares in cells]
    for step in range(_ITERATIONS):
        weights, cells = _step(tables, columns, singles, weights, cells)
        if step % 20 == 0:
            report((step + 1) / _ITERATIONS, f"fitting marginals: iteration {step + 1} of {_ITERATIONS}")
    return MarginalMixture(tuple(columns), weights, tuple(cells))


def _step(
    tables: MarginalTables, columns: Sequence[Column], singles: list[Floats], weights: Floats, cells: list[Floats]
) -> tuple[Floats, list[Floats]]:
    """Do one iteration: the expected share of each class in every table, and the mixture that follows from them."""
    joined = [_joined(shares, pair_cells_of(column)) for shares, column in zip(cells, columns, strict=True)]
    expected = [_expected_single(table, weights, shares) for table, shares in zip(singles, cells, strict=True)]
    for (i, j), table in tables.pairs.items():
        left, right = joined[i] * weights[:, None], joined[j]
        ratio = table / np.maximum(left.T @ right, _LEAST)
        first, second = left * (right @ ratio.T), right * (left @ ratio)
        expected[i] = expected[i] + _spread(first, cells[i], joined[i])
        expected[j] = expected[j] + _spread(second, cells[j], joined[j])
    classes = np.sum([counts.sum(axis=1) for counts in expected], axis=0)
    new = [counts + _PRIOR * table for counts, table in zip(expected, singles, strict=True)]
    return classes / classes.sum(), [counts / counts.sum(axis=1, keepdims=True) for counts in new]


def _expected_single(table: Floats, weights: Floats, shares: Floats) -> Floats:
    return np.asarray(weights[:, None] * shares * (table / np.maximum(weights @ shares, _LEAST)))


def _joined(shares: Floats, cells: int) -> Floats:
    """Return the shares (K, cells) of coarser cells, each of which joins neighbouring ones."""
    return np.asarray(shares.reshape(len(shares), cells, -1).sum(axis=2))


def _spread(counts: Floats, fine: Floats, coarse: Floats) -> Floats:
    """Divide the expected counts (K, cells) of coarser cells among their fine ones, by the present shares."""
    within = fine.reshape(*coarse.shape, -1) / np.maximum(coarse, _LEAST)[:, :, None]
    return np.asarray((counts[:, :, None] * within).reshape(fine.shape))
