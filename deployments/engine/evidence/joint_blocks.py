"""Compare two arms by bets in share form on joint blocks, valid at every look and at every ratio of the arms.

The people of both arms stand in one order, and every twenty of them form a block, whatever arms they are in. Within a block the
arms are exchangeable, because the arm is a hash of the person. A change of the times, which moves both arms, therefore has no
direction. The counts of a block are known before its outcomes, so a ramp of traffic needs no new bet.

With n_c people of the candidate and n_s of the stable arm, n together, the factor of a block is

    prod_cand (1 + L (n_s/n) s (c m - s d - y)) * prod_stable (1 + L (n_c/n) s c (y - m)),

with s = 1 if more is better and -1 otherwise, and a centre m that is fixed before the block. Under the hypothesis the terms of
first order sum to at most 0, and log(1 + x) <= x. A block with one arm empty has the factor 1.

Source: Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import Bools, Floats
from deployments.engine.evidence.stakes import Stakes

BLOCK = 20  # people of both arms together; 1/20 of the information of a perfect pairing is lost
_LARGEST_LOSS = 0.95  # of the wealth, at the worst possible value


@dataclass(frozen=True)
class NullHypothesis:
    """Hold what a bet may refute: candidate >= c stable - d if more is better, and candidate <= c stable + d otherwise."""

    c: float = 1.0
    d: float = 0.0

    @property
    def is_equality(self) -> bool:
        """Tell whether both arms have one mean under the hypothesis, so that both may estimate it."""
        return self.c == 1.0 and self.d == 0.0


EQUAL = NullHypothesis()


@dataclass(frozen=True)
class JointBlocks:
    """Hold people in joint order: ``values`` (..., blocks, size) in [0, 1], and whether each one is ``ours``, the candidate's.

    ``present``: False for places that nobody fills. None if every place is filled.
    """

    values: Floats
    ours: Bools
    present: Bools | None = None

    @classmethod
    def of(cls, values: Floats, ours: Bools, present: Bools | None = None) -> JointBlocks:
        """Cut people (..., n) in order into whole blocks. People who do not fill a block yet are left out."""
        blocks = values.shape[-1] // BLOCK
        shape, cut = (*values.shape[:-1], blocks, BLOCK), slice(0, blocks * BLOCK)
        filled = None if present is None else present[..., cut].reshape(shape)
        return cls(values[..., cut].reshape(shape), np.asarray(ours, dtype=bool)[..., cut].reshape(shape), filled)

    @property
    def arms(self) -> tuple[Bools, Bools]:
        """Return the places of the candidate's people and of the stable arm's."""
        if self.present is None:
            return self.ours, ~self.ours
        return self.ours & self.present, ~self.ours & self.present


Wager = Sequence[tuple[JointBlocks, Stakes]]  # bets with equal shares, on values of the same people


def log_wager_path(wager: Wager) -> Floats:
    """Return (..., blocks) log evidence after each block that the candidate is worse."""
    shares, factors = wager_factors(wager)
    return log_average(shares, factors.cumsum(axis=-1))


def wager_factors(wager: Wager) -> tuple[Floats, Floats]:
    """Return the (stakes,) log shares of all stakes of a wager, and the (..., stakes, blocks) log factors of blocks."""
    shares = np.concatenate([np.log(bet.weights) - np.log(len(wager)) for _, bet in wager])
    return shares, np.concatenate([log_factors(blocks, bet) for blocks, bet in wager], axis=-2)


def log_average(log_shares: Floats, logs: Floats) -> Floats:
    """Average evidence over stakes: (..., stakes, blocks) to (..., blocks), all as logarithms."""
    weighted = logs + log_shares[:, None]
    top = weighted.max(axis=-2, keepdims=True)
    return np.asarray(np.log(np.exp(weighted - top).sum(axis=-2)) + top[..., 0, :])


def log_joint_path(blocks: JointBlocks, bet: Stakes, null: NullHypothesis = EQUAL) -> Floats:
    """Return (..., blocks) log evidence after each block against ``null``, averaged over the stakes of one bet."""
    return log_average(np.log(bet.weights), log_factors(blocks, bet, null).cumsum(axis=-1))


def log_factors(blocks: JointBlocks, bet: Stakes, null: NullHypothesis = EQUAL) -> Floats:
    """Return (..., stakes, blocks) log factors of each block, one for each stake."""
    values, (ours, theirs) = bet.seen(blocks.values), blocks.arms
    n_ours, n_theirs = ours.sum(axis=-1), theirs.sum(axis=-1)
    together = np.maximum(n_ours + n_theirs, 1)
    against_ours, against_theirs = (n_theirs / together)[..., None], (n_ours / together)[..., None]
    m = _centres(values, ours, theirs, bet, null)[..., None]
    sign = 1.0 if bet.higher_is_better else -1.0
    target = null.c * m - sign * null.d
    gain = against_ours * ours * (target - values) + against_theirs * theirs * null.c * (values - m)
    worst_ours = 1.0 - target if bet.higher_is_better else target
    worst_theirs = null.c * (m if bet.higher_is_better else 1.0 - m)
    worst = np.maximum(against_ours * worst_ours, against_theirs * worst_theirs)
    cap = _LARGEST_LOSS / np.maximum(worst, 1e-9)
    return np.stack(
        [np.log1p(np.minimum(stake, cap) * sign * gain).sum(axis=-1) for stake in bet.grid],
        axis=-2,
    )


def _centres(values: Floats, ours: Bools, theirs: Bools, bet: Stakes, null: NullHypothesis) -> Floats:
    """Return m of each block (..., blocks): the mean of the people in earlier blocks, shrunk towards the bet's prior."""
    counted = ours | theirs if null.is_equality else theirs
    sums, counts = (values * counted).sum(axis=-1), counted.sum(axis=-1)
    earlier, people = sums.cumsum(axis=-1) - sums, counts.cumsum(axis=-1) - counts
    return np.asarray((earlier + bet.pseudo * bet.prior) / (people + bet.pseudo))
