"""Define the world in which an intervention pays, but 12% of people dismiss every one."""

from __future__ import annotations

import numpy as np

from benchmarks.worlds.plain import PlainWorld
from benchmarks.worlds.protocol import Answer, Hidden, answers
from core.arrays import Bools, Floats, Ints

DISMISS_ALL, OTHERS, PAYS = 0.12, 0.015, 0.25


class DismissersWorld(PlainWorld):
    """Let some people dismiss everything. More than one intervention in ten is unwanted under every policy."""

    def effect(self, hidden: Hidden, state: Floats, action: Ints) -> Floats:
        """Return a gain, so that nothing but the dismissals speaks against intervening."""
        return np.where(action == 0, 0.0, PAYS)

    def reply(self, hidden: Hidden, intervened: Bools, reward: Floats, rating: Floats, uniform: Floats) -> Answer:
        """Label everything as dismissed for those people."""
        harm = np.where(hidden["kind"] < DISMISS_ALL, 1.0, OTHERS)
        return answers(reward, rating, harm, intervened, uniform, answering=self.answering)


def dismissers_world() -> DismissersWorld:
    """Return the world of the people who dismiss everything."""
    return DismissersWorld("dismissers")
