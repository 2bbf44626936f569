"""Provide the plain world that the planted ones change in one respect: moods that drift, and actions without any effect."""

from __future__ import annotations

import numpy as np

from benchmarks.worlds.protocol import COLUMNS, WITH_PROPENSITY, Answer, Hidden, World, answers
from core.arrays import Bools, Floats, Ints

FEATURES = """
version = 1
decisions_per_day = 4
[features.mood]
bounds = [-1, 1]
dynamics = "learned"
scale = 0.2
[features.need]
bounds = [0, 1]
dynamics = "drift"
scale = 0.15
[features.place]
categories = ["home", "work", "other"]
dynamics = "drift"
[features.since]
bounds = [0, 1]
dynamics = "since_intervention"
[features.load]
bounds = [0, 1]
dynamics = "recent_load"
"""
TWO_ACTIONS = """
[heads.policy]
actions = ["wait", "ping"]
reference = "wait"
logging = [0.5, 0.5]
"""
REWARD = """
[reward]
scale = 0.5
harmful_labels = ["dismissed"]
"""


def plain_text(name: str, *, head: str = TWO_ACTIONS, imports: str = COLUMNS + WITH_PROPENSITY) -> str:
    """Return the loop file of a plain world."""
    return f'name = "{name}"' + FEATURES + head + REWARD + imports


class PlainWorld(World):
    """Simulate moods that drift by themselves. Interventions are liked, and change nothing."""

    better = False
    rating, unwanted, answering = 0.88, 0.03, 0.8

    def __init__(self, name: str, text: str | None = None) -> None:
        self.name, self.text = name, text or plain_text(name)

    def begin(self, people: int, rng: np.random.Generator) -> Hidden:
        """Draw people with a usual mood and a reward level of their own."""
        usual = 0.1 + 0.25 * rng.normal(size=people)
        return {
            "usual": usual, "mood": usual + 0.2 * rng.normal(size=people), "need": rng.random(people),
            "place": rng.integers(3, size=people).astype(np.float64), "level": 0.3 * rng.normal(size=people),
            "kind": (rng.permutation(people) + 0.5) / people,  # even shares, so that a planted share is exact
        }  # fmt: skip

    def observe(self, hidden: Hidden, rng: np.random.Generator) -> Hidden:
        """Return mood, need and place as they are."""
        return {name: hidden[name] for name in ("mood", "need", "place")}

    def answer(self, hidden: Hidden, state: Floats, action: Ints, rng: np.random.Generator) -> Answer:
        """Answer with the mood, the person's level, the effect of the action, and noise of one reward scale."""
        n = len(action)
        noise, uniform = rng.normal(size=(4, n)), rng.random((6, n))
        intervened = action != self.spec.main_head.reference_index
        reward = 0.6 + 0.8 * hidden["mood"] + hidden["level"] + self.effect(hidden, state, action) + noise[0]
        out = self.reply(hidden, intervened, reward, self.rating + 0.1 * noise[1], uniform[:4])
        hidden["mood"] = hidden["mood"] + 0.15 * (hidden["usual"] - hidden["mood"]) + 0.15 * noise[2]
        hidden["need"] = np.clip(0.5 + 0.85 * (hidden["need"] - 0.5) + 0.14 * noise[3], 0.0, 1.0)
        hidden["place"] = np.where(uniform[4] < 0.8, hidden["place"], np.floor(3 * uniform[5]))
        return out

    def effect(self, hidden: Hidden, state: Floats, action: Ints) -> Floats:
        """Return the effect (n,) of the actions on the reward, in reward scales."""
        return np.zeros(len(action))

    def reply(self, hidden: Hidden, intervened: Bools, reward: Floats, rating: Floats, uniform: Floats) -> Answer:
        """Return the answers. ``uniform`` (4, n) are draws."""
        harm = np.full(len(reward), self.unwanted)
        return answers(reward, rating, harm, intervened, uniform, answering=self.answering)
