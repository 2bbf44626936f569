"""Compare mean rewards of two arms at every look: a normal mixture over joint blocks, adjusted by people's past (CUPED).

Twenty people of both arms in joint order are a block, as in ``joint_blocks``. It has n_c people of the candidate and n_s of the
stable version, n together. It adds w = n_c n_s / n times the difference of its means to S. To V it adds the variance of that, by
each arm's own variance within blocks so far. Without a difference, S is a martingale whose variance V estimates, whatever happens
to both arms at once. |S| ever exceeds

    sqrt((V + r) (ln((V + r) / r) + 2 ln(1 / alpha)))

with probability ``alpha`` at most, approximately, as soon as there are enough people. The boundary is tightest where V is the
planned information, by the choice of r.

The past of people adjusts their values with a slope from earlier blocks alone, so S stays a martingale.

Sources: Robbins (1970); Howard, Ramdas, McAuliffe and Sekhon (2021), "Time-uniform, nonparametric, nonasymptotic confidence
sequences"; Deng, Xu, Kohavi and Walker (2013).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.arrays import Bools, Floats, Ints
from deployments.engine.evidence.joint_blocks import BLOCK

_PRIOR = 5.0  # people, as which the variance of both arms together counts in that of each arm


@dataclass(frozen=True)
class MixtureBlocks:
    """Hold each joint block (blocks,): people of both arms, the difference of their means, and their spread: w times it
    is the variance of w times the difference.

    A block with one arm empty has a ``gap`` of 0 and no weight.
    """

    ours: Ints
    theirs: Ints
    gap: Floats
    spread: Floats

    @property
    def weight(self) -> Floats:
        """Return w = n_c n_s / n of each block."""
        return np.asarray(self.ours * self.theirs / np.maximum(self.ours + self.theirs, 1))

    def as_json(self) -> list[list[Any]]:
        """Return one list for each column."""
        return [self.ours.tolist(), self.theirs.tolist(), self.gap.tolist(), self.spread.tolist()]

    @classmethod
    def from_json(cls, stored: list[list[Any]]) -> MixtureBlocks:
        """Read what ``as_json`` returned."""
        ours, theirs = (np.asarray(column, dtype=np.int64) for column in stored[:2])
        gap, spread = (np.asarray(column, dtype=float) for column in stored[2:])
        return cls(ours, theirs, gap, spread)


@dataclass(frozen=True)
class MixturePath:
    """Hold what is known after each block (blocks,): people of each arm, the difference with its bounds, and log evidence.

    The bounds enclose the true difference at all looks together with probability 1 - alpha. They are infinite before both arms
    have given a value.
    """

    ours: Ints
    theirs: Ints
    estimate: Floats
    low: Floats
    high: Floats
    log_evidence: Floats

    def winner(self, minimum: int) -> int:
        """Return 1 if the candidate was ever proven better, -1 if worse, 0 if neither, once both arms have ``minimum`` people."""
        enough = (self.ours >= minimum) & (self.theirs >= minimum)
        proven = np.where(self.low > 0.0, 1, np.where(self.high < 0.0, -1, 0)) * enough
        found = np.flatnonzero(proven)
        return int(proven[found[0]]) if len(found) else 0


def mixing_variance(planned: float, alpha: float) -> float:
    """Return r, at which the boundary is tightest where V equals ``planned``."""
    from_alpha = 2.0 * math.log(1.0 / alpha)
    return planned / (from_alpha + math.log1p(from_alpha))


def planned_information(people: float, share: float, sd: float) -> float:
    """Return V that so many people of both arms together are expected to give."""
    return people * share * (1.0 - share) * sd * sd


def boundary(variance: Floats, r: float, alpha: float) -> Floats:
    """Return the bound that |S| exceeds at some look with probability at most ``alpha`` if the arms are alike."""
    total = variance + r
    return np.asarray(np.sqrt(total * (np.log(total / r) + 2.0 * math.log(1.0 / alpha))))


def log_mixture(sums: Floats, variance: Floats, r: float) -> Floats:
    """Return the log evidence against "the arms are alike". It reaches ln(1 / alpha) where |S| reaches the boundary."""
    return np.asarray(sums * sums / (2.0 * (variance + r)) + 0.5 * np.log(r / (variance + r)))


def interval(blocks: MixtureBlocks, r: float, alpha: float) -> MixturePath:
    """Return what is known of the difference after each block."""
    w = blocks.weight
    sums, variance, total = (w * blocks.gap).cumsum(), (w * blocks.spread).cumsum(), w.cumsum()
    reach = boundary(variance, r, alpha)
    some = total > 0
    estimate, radius = (np.divide(x, total, out=np.zeros_like(total), where=some) for x in (sums, reach))
    radius = np.where(some, radius, np.inf)
    return MixturePath(
        blocks.ours.cumsum(), blocks.theirs.cumsum(), estimate, estimate - radius, estimate + radius,
        log_mixture(sums, variance, r),
    )  # fmt: skip


def mixture_blocks(values: Floats, ours: Bools, past: Floats | None = None) -> MixtureBlocks:
    """Cut people in joint order into whole blocks, and adjust their values by their past.

    Args: values, past: (n,), one of each person; a person without a value is left out, and ``past`` is NaN without one.
    """
    known = np.isfinite(values)
    values, ours = values[known], np.asarray(ours, dtype=bool)[known]
    whole = len(values) // BLOCK * BLOCK
    y, c = values[:whole].reshape(-1, BLOCK), ours[:whole].reshape(-1, BLOCK)
    if past is not None:
        y = _adjusted(y, c, past[known][:whole].reshape(-1, BLOCK))
    n_c, n_s = c.sum(axis=1), (~c).sum(axis=1)
    mean_c, mean_s = _arm_mean(y, c), _arm_mean(y, ~c)
    gap = np.where((n_c > 0) & (n_s > 0), mean_c - mean_s, 0.0)
    variance_c, variance_s = _variances(((y - np.where(c, mean_c[:, None], mean_s[:, None])) ** 2), c)
    return MixtureBlocks(n_c, n_s, gap, (n_s * variance_c + n_c * variance_s) / BLOCK)


def _variances(squares: Floats, ours: Bools) -> tuple[Floats, Floats]:
    """Return the variance of each arm's values (blocks,), from the squares within all blocks so far.

    Arms may spread differently, and at an uneven split the smaller one decides how sure the difference is. Its variance begins
    at that of both arms together, which counts as ``_PRIOR`` people.
    """
    within = [np.where(arm, squares, 0.0).sum(axis=1).cumsum() for arm in (ours, ~ours)]
    freedom = [np.maximum(arm.sum(axis=1) - 1, 0).cumsum() for arm in (ours, ~ours)]
    both = (within[0] + within[1]) / np.maximum(freedom[0] + freedom[1], 1)
    found = [(w + _PRIOR * both) / (df + _PRIOR) for w, df in zip(within, freedom, strict=True)]
    return found[0], found[1]


def _arm_mean(values: Floats, where: Bools) -> Floats:
    return np.asarray((values * where).sum(axis=1) / np.maximum(where.sum(axis=1), 1))


def _adjusted(y: Floats, c: Bools, past: Floats) -> Floats:
    """Return y - slope (past - centre). The slope of a block is that of earlier blocks, shrunk by one block's worth.

    The centre is the mean past of all people so far. It is known before outcomes, and people without a past stay as they are.
    """
    has = np.isfinite(past)
    x = np.where(has, past, 0.0)
    centre = x.sum(axis=1).cumsum() / np.maximum(has.sum(axis=1).cumsum(), 1)
    square, product = np.zeros(len(y)), np.zeros(len(y))
    for arm in (c & has, ~c & has):
        dx, dy = (np.where(arm, v - _arm_mean(v, arm)[:, None], 0.0) for v in (x, y))
        square, product = square + (dx * dx).sum(axis=1), product + (dx * dy).sum(axis=1)
    earlier = np.arange(len(y))
    before, with_y = (np.r_[0.0, column.cumsum()[:-1]] if len(column) else column for column in (square, product))
    slope = np.divide(with_y, before, out=np.zeros(len(y)), where=before > 0) * earlier / (earlier + 1.0)
    return np.asarray(y - slope[:, None] * np.where(has, x - centre[:, None], 0.0))
