"""Hold one measured part of a score, and compute areas under the curve and shares with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from core.arrays import Floats, Ints

INTERVAL_LEVEL = 0.95


@dataclass(frozen=True)
class Measure:
    """Hold a part of a score: its value, its interval where it has one, and the rows that it was computed on.

    ``unit`` says what was counted, rows or people.
    """

    name: str
    value: float
    rows: int
    low: float | None = None
    high: float | None = None
    unit: str = "rows"
    note: str = ""


def share(hits: int, trials: int, *, level: float = INTERVAL_LEVEL) -> tuple[float, float, float]:
    """Return a share with its Clopper-Pearson interval: (share, low, high). Without trials, (0, 0, 1)."""
    if not trials:
        return 0.0, 0.0, 1.0
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(hits, trials - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1 - tail)) if hits < trials else 1.0
    return hits / trials, low, high


def ranked(values: Floats) -> Floats:
    """Return mid-ranks (n,), from 1 to n, equal values sharing their mean rank."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.searchsorted(ordered, ordered, side="left")
    last = np.searchsorted(ordered, ordered, side="right")
    ranks = np.empty(len(values))
    ranks[order] = (first + last + 1) / 2
    return ranks


def auc(
    positive: Floats, negative: Floats, *, level: float = INTERVAL_LEVEL, persons: tuple[Ints, Ints] | None = None
) -> tuple[float, float, float]:
    """Return the area under the curve of scores with its interval: (area, low, high). Without scores, (.5, 0, 1).

    Args:
        positive, negative: scores (p,) and (n,); a high score says positive.
        persons: the person of each score, so that the rows of one person count together.
    Source: DeLong, DeLong and Clarke-Pearson 1988, by placement values; Obuchowski 1997 for clusters; the interval is on the
    logit scale, which keeps it inside [0, 1].
    """
    p, n = len(positive), len(negative)
    if not p or not n:
        return 0.5, 0.0, 1.0
    joint = ranked(np.r_[positive, negative])
    above = (joint[:p] - ranked(positive)) / n  # share of negatives below each positive score
    below = 1.0 - (joint[p:] - ranked(negative)) / p
    area = float(above.mean())
    if min(p, n) < 2:
        return area, 0.0, 1.0
    first, second = persons if persons is not None else (np.arange(p), np.arange(n))
    variance = _mean_variance(above - area, first) + _mean_variance(below - area, second)
    smooth = float(np.clip(area, 0.5 / (p + 1), 1 - 0.5 / (p + 1)))
    least = smooth * (1 - smooth) / min(len(np.unique(first)), len(np.unique(second))) / 4
    wide = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(max(variance, least)) / (smooth * (1 - smooth))
    logit = math.log(smooth / (1 - smooth))
    low, high = (1 / (1 + math.exp(-np.clip(logit + sign * wide, -50, 50))) for sign in (-1, 1))
    return area, min(float(low), area), max(float(high), area)


def _mean_variance(centred: Floats, persons: Ints) -> float:
    """Return the variance of a mean of centred values (n,), with the values of one person summed first."""
    _, group = np.unique(persons, return_inverse=True)
    sums = np.bincount(group.reshape(-1), weights=centred)
    groups = len(sums)
    return float((sums**2).sum() / len(centred) ** 2 * groups / max(groups - 1, 1))
