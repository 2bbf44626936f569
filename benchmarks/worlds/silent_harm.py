"""Define worlds in which three interventions in ten are unwanted, and most of those who mind say nothing."""

from __future__ import annotations

import numpy as np

from benchmarks.worlds.plain import PlainWorld
from benchmarks.worlds.protocol import Answer, Hidden
from core.arrays import Bools, Floats, Ints

UNWANTED, HARMED_SILENCE, PAYS = 0.30, 0.80, 0.25


class SilentHarmWorld(PlainWorld):
    """Let 80% of the harmed be silent. Of all others, people not intervened on included, a share ``silent`` says nothing."""

    def __init__(self, name: str, silent: float) -> None:
        super().__init__(name)
        self.silent = silent

    def effect(self, hidden: Hidden, state: Floats, action: Ints) -> Floats:
        """Return a gain, so that nothing but the harm speaks against intervening."""
        return np.where(action == 0, 0.0, PAYS)

    def reply(self, hidden: Hidden, intervened: Bools, reward: Floats, rating: Floats, uniform: Floats) -> Answer:
        """Answer, or be silent. Silence leaves neither a label nor a rating."""
        harmed = intervened & (uniform[0] < UNWANTED)
        heard = uniform[1] >= np.where(harmed, HARMED_SILENCE, self.silent)
        return Answer(
            reward=reward,
            empathy=np.where(intervened & heard, np.clip(rating, 0.0, 1.0), np.nan),
            harmful=np.where(heard, harmed.astype(np.int64), -1),
            harmed=harmed,
            left=np.zeros(len(reward), bool),
        )


def silent_harm_world() -> SilentHarmWorld:
    """Return the world in which everybody but the harmed answers."""
    return SilentHarmWorld("silent_harm", 0.0)


def silent_harm_among_silent() -> SilentHarmWorld:
    """Return the world in which three in ten of the others are silent too."""
    return SilentHarmWorld("silent_harm_benign", 0.30)
