"""Combine the weeks of a rotating holdback into one bet that grows over weeks.

The arm is drawn anew for each person and week, so each week is a fresh randomisation of the same people. A block's factor has
a mean of at most 1 whatever happened before, and the evidence of tests that start in different weeks may be averaged. The average
holds a test of the whole deployment and one from each week on, which sees a fault after a long good time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.arrays import Floats, Ints
from deployments.engine.evidence.joint_blocks import Wager, wager_factors
from deployments.engine.evidence.restarts import ROTATING, log_rotating_share


def log_rotating_path(wager: Wager, starts: Sequence[int], first: int = 1) -> Floats:
    """Return the (..., blocks) log evidence of the mixture after each block.

    ``starts``: index of the first block that lies in each week and those after it. ``first``: number of the first week.
    """
    parts = _parts(wager, starts, first)
    started = sum(float(np.exp(log_rotating_share(number))) for number in range(1, first + len(starts)))
    later = np.log(max(1.0 - started, 1e-12))  # tests of weeks to come, whose evidence is 1
    return np.asarray(np.logaddexp(np.logaddexp.reduce(parts), later) + np.log(ROTATING))


def strongest_start(wager: Wager, starts: Sequence[int], first: int = 1) -> int:
    """Return the index in ``starts`` of the test with the strongest evidence after the last block."""
    return int(np.argmax([part[..., -1] for part in _parts(wager, starts, first)]))


def _parts(wager: Wager, starts: Sequence[int], first: int) -> list[Floats]:
    """Return the weighted (..., blocks) log evidence of the test from each week on. Before it starts, its evidence is 1."""
    shares, factors = wager_factors(wager)
    sums = factors.cumsum(axis=-1)
    parts = []
    for i, start in enumerate(starts):
        path = np.zeros(sums.shape[:-2] + sums.shape[-1:])
        before = sums[..., start - 1 : start] if start else 0.0
        since = (sums - before)[..., start:] + shares[:, None]
        path[..., start:] = np.logaddexp.reduce(since, axis=-2)
        parts.append(path + log_rotating_share(first + i))
    return parts


def first_blocks(weeks: Ints, size: int, first: int, closed: int) -> list[int]:
    """Return the index of the first block of ``size`` people that lies wholly in each week ``first``..``closed`` or later."""
    return [int(-(-np.searchsorted(weeks, week) // size)) for week in range(first, closed + 1)]
