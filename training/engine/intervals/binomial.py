"""Compute the exact confidence interval of a share from counts, without scipy, so that web processes may call it.

Source: Clopper and Pearson (1934), "The use of confidence or fiducial limits illustrated in the case of the binomial".
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, fsum, lgamma, log

_HALVINGS = 50  # of [0, 1], far below any digit that is shown


def clopper_pearson(hits: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the probability of a hit, which covers it at least with probability ``level``.

    Raises: ValueError for hits outside 0..trials.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} of {trials} is no share; hits lie between 0 and the number of trials")
    tail = (1 - level) / 2
    low = _crossing(lambda p: _at_least(hits, trials, p) >= tail) if hits else 0.0
    high = _crossing(lambda p: _at_least(hits + 1, trials, p) >= 1 - tail) if hits < trials else 1.0
    return low, high


def _crossing(beyond: Callable[[float], bool]) -> float:
    """Return where a condition begins to hold as a probability rises from 0 to 1."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return (low + high) / 2


def _at_least(hits: int, trials: int, p: float) -> float:
    """Return the probability of ``hits`` or more, for 0 < p < 1."""
    return fsum(
        exp(lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1) + k * log(p) + (trials - k) * log(1 - p))
        for k in range(hits, trials + 1)
    )
