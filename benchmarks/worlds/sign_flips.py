"""Define the family of sign flips: an inverted U, effects that change sign with the context, and heavy-tailed rewards."""

from __future__ import annotations

import numpy as np

from benchmarks.worlds.protocol import COLUMNS, WITH_PROPENSITY, Answer, Hidden, World, answers
from core.arrays import Floats, Ints

_TEXT = (
    """
name = "sign_flips"
version = 1
decisions_per_day = 4
[features.mood]
bounds = [-1, 1]
dynamics = "learned"
scale = 0.2
[features.arousal]
bounds = [0, 1]
dynamics = "drift"
scale = 0.15
[features.need]
bounds = [0, 1]
dynamics = "drift"
scale = 0.15
[features.weather]
bounds = [0, 1]
dynamics = "drift"
scale = 0.1
[features.steps]
bounds = [0, 1]
dynamics = "drift"
scale = 0.2
[features.place]
categories = ["home", "work", "way", "gym", "shop", "other"]
dynamics = "drift"
[features.gap]
bounds = [0, 1]
dynamics = "since_intervention"
[features.load]
bounds = [0, 1]
dynamics = "recent_load"
[heads.policy]
actions = ["wait", "help", "cheer"]
reference = "wait"
logging = [0.5, 0.25, 0.25]
[reward]
scale = 0.5
harmful_labels = ["dismissed"]
"""
    + COLUMNS
    + WITH_PROPENSITY
)
_TAIL = 3  # degrees of freedom of Student's t
_PLACES, _GYM, _WORK = 6, 3, 1
_DRIFTING = ("arousal", "need", "weather", "steps")


# False interventions are near the bar here, so silence of more than a few percent could hide that they are above it.
_ANSWERING = 0.97


class SignFlipsWorld(World):
    """Simulate people whom help helps at a middle arousal, and cheer in a good mood. Elsewhere both harm."""

    name, text, better = "sign_flips", _TEXT, True

    def begin(self, people: int, rng: np.random.Generator) -> Hidden:
        """Draw people with a usual mood and a level of their own."""
        draws = rng.normal(size=(3, people))
        usual = 0.3 * draws[0]
        return {
            "usual": usual, "mood": usual + 0.2 * draws[1], "level": 0.3 * draws[2],
            "place": np.floor(_PLACES * rng.random(people)), **{k: rng.random(people) for k in _DRIFTING},
        }  # fmt: skip

    def observe(self, hidden: Hidden, rng: np.random.Generator) -> Hidden:
        """Return everything as it is."""
        return {name: hidden[name] for name in ("mood", "place", *_DRIFTING)}

    def answer(self, hidden: Hidden, state: Floats, action: Ints, rng: np.random.Generator) -> Answer:
        """Answer with the mood, the effect of the action, and noise with heavy tails."""
        n = len(action)
        heavy, noise, uniform = rng.standard_t(_TAIL, size=n), rng.normal(size=(6, n)), rng.random((6, n))
        effect = self._effect(state, action)
        reward = 0.8 * hidden["mood"] + hidden["level"] + effect + 0.5 * heavy
        harm = np.clip(0.105 - 0.12 * effect, 0.02, 0.6)
        out = answers(
            reward, 0.80 + 0.08 * effect + 0.08 * noise[0], harm, action != 0, uniform[:4], answering=_ANSWERING
        )
        mood = hidden["mood"] + 0.2 * (hidden["usual"] - hidden["mood"]) + 0.05 * effect + 0.15 * noise[1]
        hidden["mood"] = np.clip(mood, -1.0, 1.0)
        for name, drawn in zip(_DRIFTING, noise[2:], strict=True):
            hidden[name] = np.clip(0.5 + 0.85 * (hidden[name] - 0.5) + 0.16 * drawn, 0.0, 1.0)
        hidden["place"] = np.where(uniform[4] < 0.8, hidden["place"], np.floor(_PLACES * uniform[5]))
        return out

    def _effect(self, state: Floats, action: Ints) -> Floats:
        """Return the effect: an inverted U of arousal for help, less at work, and the mood for cheer, more at the gym."""
        c = self.columns
        place, load = state[:, c["place"]], state[:, c["load"]]
        middle = 1.0 - 4.0 * np.abs(state[:, c["arousal"]] - 0.5)  # 1 in the middle, -1 at both ends
        helped = 0.7 * middle + 1.0 * (state[:, c["need"]] - 0.5) - 0.5 * (place == _WORK)
        cheered = 1.0 * state[:, c["mood"]] + 0.5 * (place == _GYM) - 0.2
        by_action = np.column_stack([np.zeros(len(load)), helped - 0.25, cheered])
        return np.asarray(by_action[np.arange(len(load)), action] - 0.4 * (action != 0) * load)
