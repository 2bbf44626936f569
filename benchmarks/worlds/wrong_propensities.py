"""Define the log whose probability column holds P(ping) on every row, whatever was done, as public trials do."""

from __future__ import annotations

import numpy as np

from benchmarks.worlds.plain import PlainWorld
from benchmarks.worlds.protocol import Hidden
from core.arrays import Floats, Ints

_OFTEN, _SELDOM = 0.8, 0.2  # P(ping) with much and with little need


class WrongPropensitiesWorld(PlainWorld):
    """Ping more with much need, where rewards are higher anyway, and record P(ping) where P(the action) belongs."""

    def exploration(self, state: Floats) -> Floats:
        """Return the real distribution by stratum."""
        ping = self._ping(state)
        return np.column_stack([1.0 - ping, ping])

    def recorded(self, state: Floats, action: Ints, propensity: Floats) -> Floats:
        """Return P(ping), also where the app waited."""
        return self._ping(state)

    def effect(self, hidden: Hidden, state: Floats, action: Ints) -> Floats:
        """Return more reward with much need, and a loss from pinging."""
        return np.asarray(1.5 * (hidden["need"] > 0.5) - 0.1 * (action != 0))

    def _ping(self, state: Floats) -> Floats:
        return np.where(state[:, self.columns["need"]] > 0.5, _OFTEN, _SELDOM)


def wrong_propensities_world() -> WrongPropensitiesWorld:
    """Return the world whose log means something else by its probabilities."""
    return WrongPropensitiesWorld("wrong_propensities")
