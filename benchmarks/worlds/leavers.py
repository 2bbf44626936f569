"""Define the world in which every intervention pays those who stay, and drives a few of the others away."""

from __future__ import annotations

import numpy as np

from benchmarks.worlds.plain import PlainWorld
from benchmarks.worlds.protocol import Answer, Hidden, answers
from core.arrays import Bools, Floats, Ints

LEVEL, PAYS, LEAVES = 2.0, 0.25, 0.005  # reward scales; probability to leave for good after an intervention


class LeaversWorld(PlainWorld):
    """Let people leave after interventions. The log does not say so: their rows end."""

    tells_leaving = False

    def effect(self, hidden: Hidden, state: Floats, action: Ints) -> Floats:
        """Return what a decision is worth to those who come, and the gain of an intervention."""
        return LEVEL + np.where(action == 0, 0.0, PAYS)

    def reply(self, hidden: Hidden, intervened: Bools, reward: Floats, rating: Floats, uniform: Floats) -> Answer:
        """Return the usual answers. Interventions drive people away."""
        harm, hazard = np.full(len(reward), self.unwanted), np.where(intervened, LEAVES, 0.0)
        return answers(reward, rating, harm, intervened, uniform, answering=self.answering, hazard=hazard)


def leavers_world() -> LeaversWorld:
    """Return the world of the people who leave."""
    return LeaversWorld("leavers")
