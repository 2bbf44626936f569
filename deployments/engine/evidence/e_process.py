"""Compute anytime-valid evidence from values in [0, 1], one for each person.

The evidence stays valid under a check every minute, without a correction. A betting test of "the mean is at least m" multiplies
1 + a (m - y) over people. Under that hypothesis the product is a supermartingale for every distribution, so it ever exceeds
1/alpha with probability at most alpha (Ville's inequality). Products are averaged over stakes a. A paired test compares two arms
at the same time.

``cohort_series.py`` selects the values and the weight w of each test. Weighted log evidence is log E + log w. One test that
reaches log 1/alpha is a proof.

Source: Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from deployments.engine.evidence.cohort_series import CohortSeries, UnitSample
from deployments.engine.traffic_shares import BASIS_POINTS

FRACTIONS = (0.05, 0.1, 0.2, 0.4, 0.8)  # stakes, as fractions of the largest stake that cannot lose everything
EMPATHY_STAKES = (0.2, 0.4, 0.8, 1.6, 3.2)
FALSE_INTERVENTION_STAKES = (0.25, 0.5, 1.0)
LATENCY_STAKES = (2.0, 4.0, 6.0)
PSEUDO_UNITS = 20  # weight of the prior in a running mean, in people
_GRID = 201
_LARGEST_LOSS = 0.95


def log_evidence_below(values: Floats, mean: float) -> Floats:
    """Return log e-values of values (..., people) against "the mean is at least ``mean``". Large ones show a lower mean."""
    return _log_average([_log_product(values, mean, -f / max(1.0 - mean, 1e-9)) for f in FRACTIONS])


def log_evidence_above(values: Floats, mean: float) -> Floats:
    """Return log e-values of values (..., people) against "the mean is at most ``mean``". Large ones show a higher mean."""
    return _log_average([_log_product(values, mean, f / max(mean, 1e-9)) for f in FRACTIONS])


def _log_product(values: Floats, mean: float, stake: float) -> Floats:
    return np.asarray(np.log1p(stake * (values - mean)).sum(axis=-1))


def _log_average(logs: Sequence[Floats]) -> Floats:
    return np.asarray(np.logaddexp.reduce(logs) - np.log(len(logs)))


def strongest_below(series: CohortSeries, mean: float) -> float:
    """Return the largest weighted log evidence of all tests against "the mean has been at least ``mean``"."""
    return max(float(log_evidence_below(s.values, mean)) + s.log_weight for s in series.samples)


def strongest_above(series: CohortSeries, mean: float) -> float:
    """Return the largest weighted log evidence of all tests against "the mean has been at most ``mean``"."""
    return max(float(log_evidence_above(s.values, mean)) + s.log_weight for s in series.samples)


def bounds(series: CohortSeries, alpha: float) -> tuple[float, float]:
    """Return confidence bounds (low, high) of the mean, each wrong with probability at most ``alpha`` over all checks together.

    They enclose the means that no test refutes, to a precision of .005. Evidence is monotone in the mean, so bisection finds
    where it passes 1/alpha. If the mean has changed over time, each bound comes from the time with the strongest evidence.
    The low bound may then exceed the high bound.
    """
    bar, inner = float(np.log(1.0 / alpha)), np.linspace(0.0, 1.0, _GRID)[1:-1]
    refuted_below = bisect_left(inner, True, key=lambda mean: strongest_above(series, mean) < bar)
    refuted_above = bisect_left(inner, True, key=lambda mean: strongest_below(series, mean) >= bar)
    low = float(inner[refuted_below - 1]) if refuted_below else 0.0
    return low, float(inner[refuted_above]) if refuted_above < len(inner) else 1.0


def mean_radius(n: int, sd: float, alpha: float, planned: int = 50) -> float:
    """Return the half-width of a confidence sequence for the mean of n normal values with unknown standard deviation.

    The sequence misses the mean with probability at most ``alpha`` over all n together. It inverts the t-test of a normal mixture
    over effect sizes, whose e-value does not depend on the scale. It is infinite if n people are too few to prove anything.

    Args:
        sd: sample standard deviation of the n values.
        planned: number of people at which the sequence is tightest.
    Sources: Lai (1976); Wang and Ramdas (2025).
    """
    if n < 2:
        return float("inf")
    prior = planned / (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1))
    share = 1 - (alpha * alpha * prior / (n + prior)) ** (1 / n)  # of the sum of squares that the mean may explain
    remainder = n - share * (n + prior)
    return float(sd * np.sqrt((n - 1) / n * share * (n + prior) / remainder)) if remainder > 0 else float("inf")


@dataclass(frozen=True)
class NullHypothesis:
    """Hold the hypothesis that a paired test may refute.

    It is candidate >= c stable - d if ``higher_is_better``, and candidate <= c stable + d otherwise.
    """

    c: float = 1.0
    d: float = 0.0
    higher_is_better: bool = True


@dataclass(frozen=True)
class PairedBlocks:
    """Hold the number of candidate and stable values in a block, in proportion to traffic.

    For example 1:9 at 10%, 1:1 at 50%, or 19:1 with a 5% holdback.
    """

    candidate: int
    stable: int

    @classmethod
    def of_holdback(cls, holdback_bp: int) -> PairedBlocks:
        """Match one held-back person with as many others as in traffic, so that a block covers one time."""
        return cls(max(1, round((BASIS_POINTS - holdback_bp) / holdback_bp)), 1)

    def of(self, ours: UnitSample, theirs: UnitSample) -> tuple[Floats, Floats]:
        """Return (blocks, candidate) and (blocks, stable) values in order.

        A block lies within one epoch. Values that do not fill a block are left out.
        """
        both = list(zip(ours.epochs, theirs.epochs, strict=True))
        counts = [min(len(y) // self.candidate, len(z) // self.stable) for y, z in both]
        rows = [
            np.concatenate([pair[i][: count * size] for pair, count in zip(both, counts, strict=True)])
            for i, size in enumerate((self.candidate, self.stable))
        ]
        return rows[0].reshape(-1, self.candidate), rows[1].reshape(-1, self.stable)


def log_paired(
    ours: UnitSample,
    theirs: UnitSample,
    null: NullHypothesis,
    blocks: PairedBlocks,
    stakes: tuple[float, ...],
    prior: float,
) -> float:
    """Return the weighted log evidence of the paired test on two samples of the same epochs."""
    path = log_paired_path(*blocks.of(ours, theirs), null, stakes, prior)
    return (float(path[-1]) if len(path) else 0.0) + ours.log_weight


def log_paired_path(
    ours: Floats, theirs: Floats, null: NullHypothesis, stakes: tuple[float, ...], prior: float
) -> Floats:
    """Return log e-values (..., blocks) of the paired-product test after each block, averaged over stakes.

    The factor of a block is prod_i (1 + a (c m - d - y_i)) prod_j (1 + (a n_c / n_s) c (y_j - m)). Signs are reversed for a
    metric of which less is better. m is fixed before the block: the midpoint of the arms' running means, each shrunk towards
    ``prior`` with the weight of 20 people. If c or d make the arms differ, m is the stable arm's running mean.

    Args:
        ours: (..., blocks, n_c) values of the candidate, in exposure order.
        theirs: (..., blocks, n_s) values of the stable arm, in exposure order.
    """
    n_c, n_s = ours.shape[-1], theirs.shape[-1]
    sign = 1.0 if null.higher_is_better else -1.0
    centre = null.c * _midpoints(ours, theirs, prior, alone=null.c != 1.0 or null.d != 0.0)
    shift = -null.d if null.higher_is_better else null.d
    u = sign * ((centre + shift)[..., None] - ours)
    v = sign * (null.c * theirs - centre[..., None])
    lowest_u = centre + shift - 1.0 if null.higher_is_better else -(centre + shift)
    lowest_v = -centre if null.higher_is_better else centre - null.c
    safe_u, safe_v = 1.0 / np.maximum(-lowest_u, 1e-9), n_s / (n_c * np.maximum(-lowest_v, 1e-9))
    cap = _LARGEST_LOSS * np.minimum(safe_u, safe_v)
    logs = []
    for stake in stakes:
        a = np.minimum(stake, cap)[..., None]
        logs.append((np.log1p(a * u).sum(axis=-1) + np.log1p(a * n_c / n_s * v).sum(axis=-1)).cumsum(axis=-1))
    return _log_average(logs)


def _midpoints(ours: Floats, theirs: Floats, prior: float, *, alone: bool) -> Floats:
    """Return m of each block (..., blocks), computed from the blocks before it."""
    means = []
    for arm in (ours, theirs):
        sums = arm.sum(axis=-1)
        seen = np.arange(arm.shape[-2]) * arm.shape[-1]
        means.append((sums.cumsum(axis=-1) - sums + PSEUDO_UNITS * prior) / (seen + PSEUDO_UNITS))
    return np.asarray(means[1] if alone else (means[0] + means[1]) / 2)
