"""Anytime-valid evidence from values in [0, 1], one a person: it may be looked at every minute without a correction.

A bet against "the mean is at least m" multiplies 1 + a (m - y) over people; under that hypothesis the product is a
supermartingale whatever the distribution, so it passes 1/alpha with probability at most alpha, ever (Ville; Waudby-Smith and
Ramdas 2024). Products are averaged over stakes a. The paired-product bet compares two arms that live at the same time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FRACTIONS = (0.05, 0.1, 0.2, 0.4, 0.8)  # of the largest stake that cannot lose everything
EMPATHY_STAKES = (0.2, 0.4, 0.8, 1.6, 3.2)
FALSE_INTERVENTION_STAKES = (0.25, 0.5, 1.0)
LATENCY_STAKES = (2.0, 4.0, 6.0)
PSEUDO_UNITS = 20
_GRID = 201
_LARGEST_LOSS = 0.95


def log_evidence_below(values: Floats, mean: float) -> float:
    """Log e-value against "the mean is at least ``mean``" (large: it is lower)."""
    return _log_average([_log_product(values, mean, -f / max(1.0 - mean, 1e-9)) for f in FRACTIONS])


def log_evidence_above(values: Floats, mean: float) -> float:
    """Log e-value against "the mean is at most ``mean``"."""
    return _log_average([_log_product(values, mean, f / max(mean, 1e-9)) for f in FRACTIONS])


def _log_product(values: Floats, mean: float, stake: float) -> float:
    return float(np.log1p(stake * (values - mean)).sum())


def _log_average(logs: list[float]) -> float:
    top = max(logs)
    return top + float(np.log(np.mean(np.exp(np.array(logs) - top))))


@dataclass(frozen=True)
class Series:
    """Values in [0, 1] in the order in which they were counted; ``starts`` are the indices at which an epoch begins.

    ``first`` is the number of the first epoch here (1: nothing older was left out).
    """

    values: Floats
    starts: tuple[int, ...] = (0,)
    first: int = 1

    def since_each_start(self) -> list[Floats]:
        return [self.values[start:] for start in self.starts]


def restarted(logs: Sequence[float], first: int = 1) -> float:
    """Log of the mixture of bets begun anew in every epoch, so that a fault after a long good time is seen.

    E = 3/4 E_1 + 1/4 sum over epochs k > 1 of E_k / (k (k - 1)): most on the first, where harm is likeliest; what is not begun
    yet counts 1. The weights sum to 1, so E is an e-process too; where bets begun before ``first`` are left out it is only lower.
    """
    weights = [0.75 if k == 1 else 0.25 / (k * (k - 1)) for k in range(first, first + len(logs))]
    waiting = 0.25 / (first + len(logs) - 1)
    return float(np.logaddexp.reduce([*(np.asarray(logs) + np.log(weights)), np.log(waiting)]))


def bounds(series: Series, alpha: float) -> tuple[float, float]:
    """Confidence bounds (low, high) of the mean, each missing it with probability at most ``alpha`` over all looks together.

    The means that no bet refutes, to .005. Evidence is monotone in the mean, so halving finds where it passes 1/alpha.
    """
    bar, inner = float(np.log(1.0 / alpha)), np.linspace(0.0, 1.0, _GRID)[1:-1]
    parts = series.since_each_start()

    def too_low(mean: float) -> bool:
        return restarted([log_evidence_above(p, mean) for p in parts], series.first) >= bar

    def too_high(mean: float) -> bool:
        return restarted([log_evidence_below(p, mean) for p in parts], series.first) >= bar

    refuted_below = bisect_left(inner, True, key=lambda mean: not too_low(mean))
    refuted_above = bisect_left(inner, True, key=too_high)
    low = float(inner[refuted_below - 1]) if refuted_below else 0.0
    return low, float(inner[refuted_above]) if refuted_above < len(inner) else 1.0


def log_evidence_share(hits: int, trials: int, share: float) -> float:
    """Log e-value against "the share is at most ``share``" from counts: a mixture of likelihood ratios over larger shares."""
    larger = [share + (1.0 - share) * f for f in (0.01, 0.03, 0.1, 0.3)]
    ratios = [hits * np.log(p / share) + (trials - hits) * np.log((1.0 - p) / (1.0 - share)) for p in larger]
    return _log_average([float(r) for r in ratios])


def mixture_radius(n: int, sd: float, alpha: float, planned: int = 500) -> float:
    """Half-width of an asymptotic confidence sequence for a mean (Robbins' normal mixture; Waudby-Smith et al. 2024), tightest
    near ``planned`` people; infinite for fewer than two.
    """
    if n < 2:
        return float("inf")
    rho2 = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / planned
    spread = 2 * (n * rho2 + 1) / (n * n * rho2) * np.log(np.sqrt(n * rho2 + 1) / alpha)
    return float(sd * np.sqrt(spread))


@dataclass(frozen=True)
class Null:
    """What a paired bet is against: candidate >= c stable - d (``higher_is_better``), else candidate <= c stable + d."""

    c: float = 1.0
    d: float = 0.0
    higher_is_better: bool = True


@dataclass(frozen=True)
class Blocks:
    """Units of a block: candidate and stable, as traffic is split (1:9 at 10%, 1:1, 19:1 with a 5% holdback)."""

    candidate: int
    stable: int

    @classmethod
    def of_holdback(cls, holdback_bp: int) -> Blocks:
        """For one held-back person as many others as there are in traffic, so that a block is of one time."""
        return cls(max(1, round((10_000 - holdback_bp) / holdback_bp)), 1)


def log_paired_restarted(
    ours: Series, theirs: Series, null: Null, blocks: Blocks, stakes: tuple[float, ...], prior: float
) -> float:
    """``log_paired`` begun anew in every epoch; both arms have the same epochs."""
    both = zip(ours.since_each_start(), theirs.since_each_start(), strict=True)
    return restarted([log_paired(y, z, null, blocks, stakes, prior) for y, z in both], ours.first)


def log_paired(
    candidate: Floats, stable: Floats, null: Null, blocks: Blocks, stakes: tuple[float, ...], prior: float
) -> float:
    """Log e-value of the paired-product bet, averaged over stakes; values in exposure order, incomplete blocks left out.

    Factor of a block: prod_i (1 + a (c m - d - y_i)) prod_j (1 + (a n_c / n_s) c (y_j - m)), signs turned for a metric of which
    less is better. m, fixed before the block, is the midpoint of the arms' running means, each shrunk by 20 units at ``prior``;
    the stable mean alone where c or d make the arms differ.
    """
    n_c, n_s = blocks.candidate, blocks.stable
    count = min(len(candidate) // n_c, len(stable) // n_s)
    if not count:
        return 0.0
    sign = 1.0 if null.higher_is_better else -1.0
    ours = candidate[: count * n_c].reshape(count, n_c)
    theirs = stable[: count * n_s].reshape(count, n_s)
    m = _midpoints(ours, theirs, prior, alone=null.c != 1.0 or null.d != 0.0)[:, None]
    shift = -null.d if null.higher_is_better else null.d
    u = sign * (null.c * m + shift - ours)
    v = sign * null.c * (theirs - m)
    centre = null.c * m[:, 0]
    lowest_u = centre + shift - 1.0 if null.higher_is_better else -(centre + shift)
    lowest_v = -centre if null.higher_is_better else centre - null.c
    safe_u, safe_v = 1.0 / np.maximum(-lowest_u, 1e-9), n_s / (n_c * np.maximum(-lowest_v, 1e-9))
    cap = _LARGEST_LOSS * np.minimum(safe_u, safe_v)
    logs = []
    for stake in stakes:
        a = np.minimum(stake, cap)[:, None]
        logs.append(float(np.log1p(a * u).sum() + np.log1p(a * n_c / n_s * v).sum()))
    return _log_average(logs)


def _midpoints(ours: Floats, theirs: Floats, prior: float, *, alone: bool) -> Floats:
    """(blocks,) m of each block, from the blocks before it."""
    means = []
    for arm in (ours, theirs):
        before = np.concatenate([[0.0], arm.sum(axis=1).cumsum()[:-1]])
        seen = np.arange(len(arm)) * arm.shape[1]
        means.append((before + PSEUDO_UNITS * prior) / (seen + PSEUDO_UNITS))
    return np.asarray(means[1] if alone else (means[0] + means[1]) / 2)
