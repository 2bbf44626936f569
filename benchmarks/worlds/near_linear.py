"""Define the near-linear family: a companion with four kinds of intervention, whose effects are mostly linear in what it sees."""

from __future__ import annotations

import numpy as np

from benchmarks.worlds.protocol import COLUMNS, WITH_PROPENSITY, Answer, Hidden, World, answers
from core.arrays import Floats, Ints

_TEXT = (
    """
name = "near_linear"
version = 1
decisions_per_day = 4
[features.mood]
bounds = [-1, 1]
dynamics = "learned"
scale = 0.15
[features.tension]
bounds = [0, 1]
dynamics = "learned"
scale = 0.1
[features.interest]
bounds = [0, 1]
dynamics = "learned"
scale = 0.05
[features.energy]
bounds = [0, 1]
dynamics = "drift"
scale = 0.1
[features.noise]
bounds = [0, 1]
dynamics = "drift"
scale = 0.1
[features.gap]
bounds = [0, 1]
dynamics = "since_intervention"
[features.load]
bounds = [0, 1]
dynamics = "recent_load"
[features.daypart]
categories = ["morning", "midday", "evening", "night"]
dynamics = "clock"
[heads.policy]
actions = ["wait", "chat", "calm", "plan", "praise"]
reference = "wait"
logging = [0.6, 0.1, 0.1, 0.1, 0.1]
[reward]
scale = 0.2
harmful_labels = ["dismissed"]
"""
    + COLUMNS.replace('"next_row"', '"next_row_same_day"')
    + WITH_PROPENSITY
)
# Effect on the reward (reward scales) by action, linear in (1, mood, tension, interest, energy, gap, load), each in [-1, 1].
_EFFECTS = np.array(
    [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [-0.15, 0.0, 0.0, -0.65, 0.0, 0.55, -0.30],
        [-0.15, 0.0, 1.10, 0.0, -0.15, 0.30, -0.30],
        [-0.20, -0.85, 0.0, 0.0, 0.65, 0.30, -0.30],
        [-0.20, 0.95, 0.0, 0.40, 0.0, 0.30, -0.30],
    ]
)
# What an action moves by the next decision point: mood, tension, interest.
_MOVES = np.array([[0.0, 0.0, 0.0], [0.01, 0.0, 0.02], [0.0, -0.04, 0.0], [0.03, 0.0, 0.0], [0.03, 0.0, 0.01]])
_NIGHT = 3


class NearLinearWorld(World):
    """Simulate moods, tensions and interest that return to a person's usual levels."""

    name, text, better = "near_linear", _TEXT, True

    def begin(self, people: int, rng: np.random.Generator) -> Hidden:
        """Draw people with usual levels of their own, near which they begin."""
        draws = rng.normal(size=(8, people))
        usual = {
            "mood": 0.1 + 0.3 * draws[0], "tension": 0.45 + 0.15 * draws[1], "interest": 0.55 + 0.12 * draws[2],
        }  # fmt: skip
        now = {k: v + 0.1 * d for (k, v), d in zip(usual.items(), draws[3:6], strict=True)}
        return now | {
            **{f"usual_{k}": v for k, v in usual.items()},
            "energy": np.full(people, 0.5), "noise": np.full(people, 0.5), "level": 0.3 * draws[6], "warmth": 0.03 * draws[7],
        }  # fmt: skip

    def observe(self, hidden: Hidden, rng: np.random.Generator) -> Hidden:
        """Return everything as it is."""
        return {name: hidden[name] for name in ("mood", "tension", "interest", "energy", "noise")}

    def answer(self, hidden: Hidden, state: Floats, action: Ints, rng: np.random.Generator) -> Answer:
        """Answer with the levels, the effect of the action, and noise of .8 reward scales."""
        n = len(action)
        noise, uniform = rng.normal(size=(7, n)), rng.random((4, n))
        effect = self._effect(state, action)
        level = 0.5 * hidden["mood"] - 0.6 * (hidden["tension"] - 0.5) + 1.0 * (hidden["interest"] - 0.5)
        reward = 1.5 + level + hidden["level"] + effect + 0.8 * noise[0]
        harm = np.clip(0.07 - 0.12 * effect, 0.01, 0.5)
        out = answers(reward, 0.84 + 0.10 * effect + hidden["warmth"] + 0.08 * noise[1], harm, action != 0, uniform)
        self._move(hidden, state, action, noise[2:])
        return out

    def _effect(self, state: Floats, action: Ints) -> Floats:
        """Return the effect, which is damped a little where it is loud, and falls off at night."""
        c = self.columns
        mood, load = state[:, c["mood"]], 2.0 * state[:, c["load"]] - 1.0
        scaled = [2.0 * state[:, c[k]] - 1.0 for k in ("tension", "interest", "energy", "gap")]
        linear = (np.column_stack([np.ones(len(mood)), mood, *scaled, load]) * _EFFECTS[action]).sum(axis=1)
        quiet = 1.0 - 0.3 * np.clip(state[:, c["noise"]] - 0.5, 0.0, 0.5)
        return np.asarray(linear * quiet - 0.15 * (action != 0) * (state[:, c["daypart"]] == _NIGHT))

    def _move(self, hidden: Hidden, state: Floats, action: Ints, noise: Floats) -> None:
        moves = _MOVES[action] * (1.0 - 0.5 * state[:, [self.columns["load"]]])
        for i, (name, low, spread) in enumerate(
            (("mood", -1.0, 0.13), ("tension", 0.0, 0.08), ("interest", 0.0, 0.04))
        ):
            back = 0.15 * (hidden[f"usual_{name}"] - hidden[name])
            hidden[name] = np.clip(hidden[name] + back + moves[:, i] + spread * noise[i], low, 1.0)
        for i, name in enumerate(("energy", "noise"), start=3):
            hidden[name] = np.clip(0.5 + 0.85 * (hidden[name] - 0.5) + 0.1 * noise[i], 0.0, 1.0)
