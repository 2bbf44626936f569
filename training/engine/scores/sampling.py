"""Draw the rows that each score is computed on, so that a large table costs no more than a middling one."""

from __future__ import annotations

import numpy as np

from core.arrays import Ints
from training.engine.tables.table import Table

MOST_SCORED_ROWS = 10_000  # of a table that a score reads; more rows are sampled with the seed
MOST_HOLDOUT = 5_000
MOST_SYNTHETIC = 100_000  # that attacks search: a sample would hide copies


def sampled(table: Table, most: int, rng: np.random.Generator) -> Table:
    """Return at most ``most`` rows, drawn without replacement and kept in order."""
    if table.rows <= most:
        return table
    return table.take(np.sort(rng.choice(table.rows, most, replace=False)))


def shuffled(table: Table, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the columns, each in an order of its own: every column is right, and nothing between columns."""
    return {name: values[rng.permutation(table.rows)] for name, values in table.columns.items()}


def people_of(table: Table) -> Ints:
    """Return the person of each row, or a number of its own for each row where the table names no persons."""
    return np.arange(table.rows, dtype=np.int64) if table.person is None else np.asarray(table.person)
