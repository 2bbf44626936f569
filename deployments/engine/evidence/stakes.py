"""Hold the bets of each compared metric: stakes, their weights, the centre before anybody is seen, and the floored half.

A stake L is absolute: the best one is about the difference over the variance of a person's value, at every ratio of the arms. A
large stake sees people with many interventions, a small one sees rare yes-or-no values.

Half of a bet is placed on floored values. Its cap is the worst case of one held-back person, and a floor raises that worst case.
The plain half keeps deep harm of a few people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from loops.engine.thresholds import EMPATHY_BAR, FALSE_INTERVENTION_BAR

_PSEUDO_PEOPLE, _PSEUDO_REQUESTS = 20.0, 200.0
_UNKNOWN_SHARE = 0.5  # the centre of the share that answers, before anybody is seen


@dataclass(frozen=True)
class Stakes:
    """Hold one bet on one value of a person in [0, 1].

    ``grid`` and ``weights``: absolute stakes and their shares of the bet, which sum to 1. ``prior``: centre before anybody is
    seen, which counts as ``pseudo`` people. ``cut``: None for plain values. Otherwise values below it (``higher_is_better``) or
    above it count as the cut, and the rest is stretched to [0, 1].
    """

    grid: tuple[float, ...]
    weights: tuple[float, ...]
    prior: float
    higher_is_better: bool
    pseudo: float = _PSEUDO_PEOPLE
    cut: float | None = None

    def seen(self, values: Floats) -> Floats:
        """Return the values that this bet sees."""
        if self.cut is None:
            return values
        if self.higher_is_better:
            return np.asarray((np.maximum(values, self.cut) - self.cut) / (1.0 - self.cut))
        return np.asarray(np.minimum(values, self.cut) / self.cut)


def _even(grid: tuple[float, ...], prior: float, higher_is_better: bool, cut: float | None = None) -> Stakes:
    return Stakes(grid, (1.0 / len(grid),) * len(grid), prior, higher_is_better, cut=cut)


_FLOOR, _CEILING = 0.5, 0.4
_LOW_FIRST = (0.15, 0.35, 0.35, 0.15)
EMPATHY_BETS = (
    _even((0.7, 1.5, 3.0, 6.0), EMPATHY_BAR, True),
    _even((0.75, 1.5, 3.0, 6.0), (EMPATHY_BAR - _FLOOR) / (1.0 - _FLOOR), True, _FLOOR),
)
FALSE_INTERVENTION_BETS = (
    Stakes((0.3, 0.6, 1.2, 4.0), _LOW_FIRST, FALSE_INTERVENTION_BAR, False),
    Stakes((0.24, 0.48, 1.6, 3.2), _LOW_FIRST, FALSE_INTERVENTION_BAR / _CEILING, False, cut=_CEILING),
)
# Where people usually answer, fewer answers tell more. Where they seldom do, fewer good answers tell more.
ANSWERED_BET = _even((0.5, 1.0, 2.0, 4.0), _UNKNOWN_SHARE, True)
NOT_GOOD_BET = _even((0.5, 1.0, 2.0, 4.0), _UNKNOWN_SHARE, False)
LATENCY_BET = Stakes((2.0, 4.0, 6.0), (1 / 3,) * 3, 0.005, False, pseudo=_PSEUDO_REQUESTS)
