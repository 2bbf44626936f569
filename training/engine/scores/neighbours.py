"""Find nearest rows by Euclidean distance, in blocks that keep memory small."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from core.arrays import Floats, Ints

_BLOCK_VALUES = 1 << 23
_NOTHING = 1e-12  # squared distances below are equal rows, up to rounding


def squared_distances(queries: Floats, rows: Floats) -> Iterator[tuple[slice, Floats]]:
    """Yield blocks of queries with their squared distances (block, n) to all rows."""
    step = max(1, _BLOCK_VALUES // max(len(rows), 1))
    for first in range(0, len(queries), step):
        block = queries[first : first + step]
        yield slice(first, first + len(block)), squared_block(block, rows)


def squared_block(queries: Floats, rows: Floats) -> Floats:
    """Return all squared distances (q, n) at once, 0 where rows are equal up to rounding."""
    norms = np.square(rows).sum(axis=1)
    squares = np.square(queries).sum(axis=1)[:, None] + norms - 2.0 * (queries @ rows.T)
    squares[squares < _NOTHING * (1.0 + norms)] = 0.0
    return np.asarray(squares)


def nearest(queries: Floats, rows: Floats, k: int = 1) -> Floats:
    """Return the distance (q,) to the k-th nearest row, infinite where there are fewer rows."""
    out = np.full(len(queries), np.inf)
    if len(rows) < k:
        return out
    for part, squares in squared_distances(queries, rows):
        out[part] = np.sqrt(np.partition(squares, k - 1, axis=1)[:, k - 1])
    return out


def nearest_within(rows: Floats, k: int) -> Floats:
    """Return the distance (n,) of each row to its k-th nearest other row, infinite where there are fewer."""
    out = np.full(len(rows), np.inf)
    if len(rows) <= k:
        return out
    for part, squares in squared_distances(rows, rows):
        squares[np.arange(len(squares)), np.arange(part.start, part.start + len(squares))] = -1.0
        out[part] = np.sqrt(np.maximum(np.partition(squares, k, axis=1)[:, k], 0.0))
    return out


def counts_within(queries: Floats, rows: Floats, radius: float) -> Ints:
    """Return how many rows lie within a radius of each query (q,)."""
    out = np.zeros(len(queries), np.int64)
    for part, squares in squared_distances(queries, rows):
        out[part] = (squares <= radius**2).sum(axis=1)
    return out
