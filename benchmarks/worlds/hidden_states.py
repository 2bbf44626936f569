"""Define the family with hidden states: a mood seen with an error, people who grow tired of an app, and people who leave."""

from __future__ import annotations

import numpy as np

from benchmarks.worlds.protocol import COLUMNS, WITH_PROPENSITY, Answer, Hidden, World, answers
from core.arrays import Floats, Ints

_TEXT = (
    """
name = "hidden_states"
version = 1
decisions_per_day = 4
[features.mood]
bounds = [-1, 1]
dynamics = "learned"
scale = 0.25
[features.stress]
bounds = [0, 1]
dynamics = "learned"
scale = 0.1
[features.sleep]
bounds = [0, 12]
dynamics = "drift"
scale = 1.0
[features.gap]
bounds = [0, 1]
dynamics = "since_intervention"
[features.load]
bounds = [0, 1]
dynamics = "recent_load"
[heads.policy]
actions = ["wait", "nudge", "support", "tip"]
reference = "wait"
logging = [0.55, 0.15, 0.15, 0.15]
[reward]
scale = 0.25
harmful_labels = ["dismissed"]
"""
    + COLUMNS
    + WITH_PROPENSITY
)
_SEEN = 0.25  # sd of the error with which mood is seen
_HAZARD = 0.0015  # of leaving, a decision point, for people who are neither tired nor low
_TIRES, _RESTS = 0.06, 0.93  # tiredness an intervention adds; share of it that stays to the next point


class HiddenStatesWorld(World):
    """Simulate a slow mood, tiredness by interventions that weakens each, and leaving by low mood and tiredness."""

    name, text, better = "hidden_states", _TEXT, True

    def begin(self, people: int, rng: np.random.Generator) -> Hidden:
        """Draw people with a usual mood, a level, and their own speed of tiring."""
        draws = rng.normal(size=(6, people))
        usual = 0.05 + 0.3 * draws[0]
        return {
            "usual": usual, "mood": usual + 0.2 * draws[1], "stress": np.clip(0.45 + 0.2 * draws[2], 0.0, 1.0),
            "sleep": 7.0 + draws[3], "level": 0.3 * draws[4], "tires": _TIRES * np.exp(0.4 * draws[5]),
            "tired": np.zeros(people),
        }  # fmt: skip

    def observe(self, hidden: Hidden, rng: np.random.Generator) -> Hidden:
        """Return mood with an error. Tiredness is not seen."""
        seen = hidden["mood"] + _SEEN * rng.normal(size=len(hidden["mood"]))
        return {"mood": seen, "stress": hidden["stress"], "sleep": hidden["sleep"]}

    def answer(self, hidden: Hidden, state: Floats, action: Ints, rng: np.random.Generator) -> Answer:
        """Answer with the hidden mood and the effect that tiredness left of the action. Noise: .8 reward scales."""
        n = len(action)
        noise, uniform = rng.normal(size=(6, n)), rng.random((4, n))
        spoken = action != 0
        effect = self._effect(hidden, action)
        reward = (
            1.2 + 1.0 * hidden["mood"] - 0.6 * (hidden["stress"] - 0.45) + hidden["level"] + effect + 0.8 * noise[0]
        )
        harm = np.clip(0.05 - 0.07 * effect + 0.10 * hidden["tired"], 0.01, 0.6)
        hazard = _HAZARD * np.exp(-0.8 * hidden["mood"] + 1.5 * hidden["tired"])
        out = answers(
            reward, 0.85 + 0.06 * effect + 0.08 * noise[1], harm, spoken, uniform, answering=0.85, hazard=hazard
        )
        self._move(hidden, action, effect, noise[2:])
        return out

    def _effect(self, hidden: Hidden, action: Ints) -> Floats:
        low, stress = -hidden["mood"], 2.0 * (hidden["stress"] - 0.45)
        short = np.clip(7.0 - hidden["sleep"], -2.0, 2.0)
        by_action = np.column_stack(
            [np.zeros(len(low)), 0.05 - 1.3 * low, 0.15 + 1.6 * low, 0.05 + 1.3 * stress + 0.15 * short]
        )
        effect = by_action[np.arange(len(low)), action] - 0.55 * (action != 0) * hidden["tired"]
        return np.asarray(effect - 0.12 * (action != 0))

    def _move(self, hidden: Hidden, action: Ints, effect: Floats, noise: Floats) -> None:
        spoken = action != 0
        mood = hidden["mood"] + 0.08 * (hidden["usual"] - hidden["mood"]) + 0.04 * effect + 0.11 * noise[0]
        hidden["mood"] = np.clip(mood, -1.0, 1.0)
        stress = 0.45 + 0.85 * (hidden["stress"] - 0.45) - 0.04 * (action == 3) + 0.09 * noise[1]
        hidden["stress"] = np.clip(stress, 0.0, 1.0)
        hidden["sleep"] = np.clip(7.0 + 0.7 * (hidden["sleep"] - 7.0) + 0.8 * noise[2], 0.0, 12.0)
        hidden["tired"] = _RESTS * hidden["tired"] + hidden["tires"] * spoken
