"""Bound the epsilon and the mu of a mechanism from below, from draws on two neighbouring inputs.

An audit draws many outputs on both inputs and counts one public event. The bounds use Clopper-Pearson intervals.
Source: Jagielski, Ullman and Oprea 2020 for epsilon. For Gaussian privacy, the two error rates of a test bound mu from below
(Dong, Roth and Su 2022, definition 3; Nasr et al. 2023).
"""

from __future__ import annotations

import math
from statistics import NormalDist

FALSE_ALARM = 1e-3  # probability that a bound lies above the true value, unless the caller gives another


def at_least(hits: int, trials: int, false_alarm: float = FALSE_ALARM) -> float:
    """Return the lower end of a Clopper-Pearson interval, at half the false-alarm rate."""
    from scipy.special import betaincinv

    return float(betaincinv(hits, trials - hits + 1, false_alarm / 2)) if hits else 0.0


def at_most(hits: int, trials: int, false_alarm: float = FALSE_ALARM) -> float:
    """Return the upper end of a Clopper-Pearson interval, at half the false-alarm rate."""
    from scipy.special import betaincinv

    return float(betaincinv(hits + 1, trials - hits, 1 - false_alarm / 2)) if hits < trials else 1.0


def epsilon_at_least(hits: int, hits_neighbour: int, trials: int, false_alarm: float = FALSE_ALARM) -> float:
    """Bound the epsilon of a pure mechanism from below, from the counts of an event under both inputs."""
    low, high = at_least(hits, trials, false_alarm), at_most(hits_neighbour, trials, false_alarm)
    return math.log(low / high) if low > 0 else 0.0


def mu_at_least(false_positives: int, false_negatives: int, trials: int, false_alarm: float = FALSE_ALARM) -> float:
    """Bound the mu of a Gaussian-private mechanism from below, from a test's error counts under both inputs."""
    normal = NormalDist()
    fpr, fnr = at_most(false_positives, trials, false_alarm), at_most(false_negatives, trials, false_alarm)
    return 0.0 if fpr >= 1 or fnr >= 1 else -normal.inv_cdf(fpr) - normal.inv_cdf(fnr)
