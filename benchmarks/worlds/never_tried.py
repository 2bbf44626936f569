"""Define the log in which every row waits with probability 1: nothing is known about the other action."""

from __future__ import annotations

import numpy as np

from benchmarks.worlds.plain import PlainWorld
from core.arrays import Floats


class NeverTriedWorld(PlainWorld):
    """Log ``wait`` alone, with propensity 1, though the loop declares half of the decisions to be ``ping``."""

    def exploration(self, state: Floats) -> Floats:
        """Return probability 1 of waiting."""
        return np.tile([1.0, 0.0], (len(state), 1))


def never_tried_world() -> NeverTriedWorld:
    """Return the world of the action that nobody ever tried."""
    return NeverTriedWorld("never_tried")
