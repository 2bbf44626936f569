"""Tell whether two policies act alike, by their choices and not by their names or weights."""

from __future__ import annotations

import numpy as np

from core.arrays import Floats
from loops.engine.policies.linear import LinearPolicy

# Retrained on the same outcomes under fresh noise, a policy made 95 to 98% of its choices again (three planted populations of
# 2,000 people, half of epsilon 1). Fewer people make that share smaller.
ACTS_ALIKE = 0.8


def agreement(one: LinearPolicy, other: LinearPolicy, states: Floats) -> float:
    """Return the share of equal choices among the states (n, F) in which either policy intervenes.

    States in which both take the reference say nothing, because any two policies agree there. Two policies that never intervene
    agree fully.
    """
    ours, theirs = one.actions(states), other.actions(states)
    either = (ours != one.reference) | (theirs != other.reference)
    return float(np.mean((ours == theirs)[either])) if either.any() else 1.0
