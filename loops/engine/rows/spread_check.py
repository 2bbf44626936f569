"""Check whether logged propensities hold for each person, or only on average over people.

Suppose half of the people got an action with .2 and half with .8, for a reason that no feature holds, and the file says .5. Then
the mean of 1{a}/p is 1. Yet a person with more than expected on some days has more on the other days, too. So each person's
sum of 1{a}/p - 1 over even days is multiplied by that over odd days. Under right propensities the mean of these products is 0,
however rows depend on those before them, since each draw was with the probability that held at that moment. One draw for
a whole day leaves it at 0 as well. Otherwise it estimates the variance between people of the true propensity over the logged one.

If (nearly) everybody has one action on all their rows, the action was drawn once a person. That is no error, and a stratum
cannot be told from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.arrays import Bools, Floats
from loops.engine.rows.assignment_interval import PSEUDO_ROWS, rows_interval

SPREAD_FAR = 0.3  # standard deviation between people of the true propensity over the logged one
_ONE_ACTION = 0.95  # of people with rows on even and odd days: from it on, actions were drawn once a person
SpreadFinding = Literal["agrees", "refuted", "once a person", "too few people"]


@dataclass(frozen=True)
class PeopleSpread:
    """Hold how much the propensities of one action differ between people. ``people`` are those with even and odd days.

    ``spread`` is the standard deviation of the true propensity over the logged one; 0 if the estimate of its square is negative.
    """

    head: str
    action: str
    among: str
    people: int
    spread: float
    finding: SpreadFinding


def spread_finding(
    rows: tuple[Floats, Floats], sums: tuple[Floats, Floats], one_action: Bools, null: float, level: float
) -> tuple[int, float, SpreadFinding]:
    """Return the people with even and odd days, the spread between them, and the finding.

    Args: rows, sums: ((people,), (people,)): rows in which the action was possible and the sum of 1{a}/p, on even and on odd
    days. one_action (people,): whether the person's rows all have one action. null: variance of 1{a}/p in one row.
    """
    pairs = rows[0] * rows[1]
    has_both = pairs > 0
    size, count = np.sqrt(pairs[has_both]), int(has_both.sum())  # the null deviation of a product goes with it
    if not count:
        return 0, 0.0, "too few people"
    products = ((sums[0] - rows[0]) * (sums[1] - rows[1]))[has_both] / size
    # A product is rarely large, and then very large. So its spread is raised by two more of the largest.
    mean, low, _ = rows_interval(size, products, PSEUDO_ROWS * float(np.square(products).max()), count * null**2, level)
    spread = math.sqrt(max(0.0, mean))
    if low is None:
        return count, spread, "too few people"
    if low <= SPREAD_FAR**2:
        return count, spread, "agrees"
    return count, spread, "once a person" if np.mean(one_action[has_both]) >= _ONE_ACTION else "refuted"
