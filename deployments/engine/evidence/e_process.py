"""Compute anytime-valid evidence about the mean of values in [0, 1], one for each person.

The evidence stays valid under a check every minute, without a correction. A betting test of "the mean is at least m" multiplies
1 + a (m - y) over people. Under that hypothesis the product is a supermartingale for every distribution, so it ever exceeds
1/alpha with probability at most alpha (Ville's inequality). Products are averaged over stakes a.

Values and shares of the false-alarm rate come as pairs (values, log w), one for each test. Weighted log evidence is
log E + log w. One test that reaches log 1/alpha is a proof.

Source: Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from core.arrays import Floats

Weighted = Sequence[tuple[Floats, float]]  # the values of each test, with its log share of the false-alarm rate
FRACTIONS = (0.05, 0.1, 0.2, 0.4, 0.8)  # stakes, as fractions of the largest stake that cannot lose everything
_GRID = 201


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


def strongest_below(tests: Weighted, mean: float) -> float:
    """Return the largest weighted log evidence of all tests against "the mean has been at least ``mean``"."""
    return max((float(log_evidence_below(values, mean)) + share for values, share in tests), default=-np.inf)


def strongest_above(tests: Weighted, mean: float) -> float:
    """Return the largest weighted log evidence of all tests against "the mean has been at most ``mean``"."""
    return max((float(log_evidence_above(values, mean)) + share for values, share in tests), default=-np.inf)


def bounds(tests: Weighted, alpha: float) -> tuple[float, float]:
    """Return confidence bounds (low, high) of the mean, each wrong with probability at most ``alpha`` over all checks together.

    They enclose the means that no test refutes, to a precision of .005. Evidence is monotone in the mean, so bisection finds
    where it passes 1/alpha. If the mean has changed over time, each bound comes from the time with the strongest evidence.
    The low bound may then exceed the high bound.
    """
    bar, inner = float(np.log(1.0 / alpha)), np.linspace(0.0, 1.0, _GRID)[1:-1]
    refuted_below = bisect_left(inner, True, key=lambda mean: strongest_above(tests, mean) < bar)
    refuted_above = bisect_left(inner, True, key=lambda mean: strongest_below(tests, mean) >= bar)
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
