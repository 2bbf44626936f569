"""Define the trap: every action pays now and slowly destroys the trust that all later rewards rest on."""

from __future__ import annotations

import numpy as np

from benchmarks.worlds.plain import REWARD
from benchmarks.worlds.protocol import COLUMNS, WITH_PROPENSITY, Answer, Hidden, World, answers
from core.arrays import Floats, Ints

_TEXT = (
    """
name = "trap"
version = 1
decisions_per_day = 4
[features.trust]
bounds = [0, 1]
dynamics = "learned"
scale = 0.1
[features.need]
bounds = [0, 1]
dynamics = "drift"
scale = 0.15
[features.since]
bounds = [0, 1]
dynamics = "since_intervention"
[features.load]
bounds = [0, 1]
dynamics = "recent_load"
[heads.policy]
actions = ["wait", "push", "remind"]
reference = "wait"
logging = [0.5, 0.25, 0.25]
"""
    + REWARD
    + COLUMNS
    + WITH_PROPENSITY
)
_PAYS = np.array([0.0, 0.10, 0.05])  # reward scales at no need
_MORE = np.array([0.0, 0.30, 0.20])  # more of it at full need
_COSTS = np.array([0.0, 0.006, 0.005])  # of trust
_RETURNS, _WORTH = 0.012, 2.0  # of lost trust a decision point; reward scales of full trust


class TrapWorld(World):
    """Simulate trust, seen with an error, that every intervention lowers a little."""

    name, text, better = "trap", _TEXT, False

    def begin(self, people: int, rng: np.random.Generator) -> Hidden:
        """Draw people who trust the app to begin with."""
        usual = np.clip(0.75 + 0.08 * rng.normal(size=people), 0.0, 1.0)
        return {"usual": usual, "trust": usual.copy(), "need": rng.random(people)}

    def observe(self, hidden: Hidden, rng: np.random.Generator) -> Hidden:
        """Return trust as a question shows it, and need."""
        return {"trust": hidden["trust"] + 0.06 * rng.normal(size=len(hidden["trust"])), "need": hidden["need"]}

    def answer(self, hidden: Hidden, state: Floats, action: Ints, rng: np.random.Generator) -> Answer:
        """Answer with trust and with what the action pays now."""
        n = len(action)
        noise, uniform = rng.normal(size=(4, n)), rng.random((4, n))
        pays = _PAYS[action] + _MORE[action] * hidden["need"]
        reward = _WORTH * (hidden["trust"] - 0.2) + pays + 0.8 * noise[0]
        out = answers(reward, 0.86 + 0.1 * noise[1], np.full(n, 0.03), action != 0, uniform)
        trust = hidden["trust"] + _RETURNS * (hidden["usual"] - hidden["trust"]) - _COSTS[action] + 0.01 * noise[2]
        hidden["trust"] = np.clip(trust, 0.0, 1.0)
        hidden["need"] = np.clip(0.5 + 0.85 * (hidden["need"] - 0.5) + 0.14 * noise[3], 0.0, 1.0)
        return out
