"""A population that plays through the HTTP API, and remembers what was acknowledged.

The loop's truth is plain: a suggested stroll pleases people who have energy, and tires the others.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from tests.e2e.live import Phone
from tests.factories.loop_files import LOGGED
from tests.races import in_threads

TOML = (
    """
name = "stroll"
version = 1
decisions_per_day = 24
trial = "undecided"
minimum_effect = 0.1

[features.energy]
bounds = [0, 1]
dynamics = "drift"
scale = 0.3

[heads.policy]
actions = ["wait", "suggest"]
reference = "wait"
logging = [0.5, 0.5]

[reward]
scale = 0.5
deadline = "4s"
default = 0.0
stability_margin = 1.0
limit = 1.5
harmful_labels = ["dismissed"]
"""
    + LOGGED
)
PEOPLE = 600


class People:
    """A population with one service account; it keeps what was acknowledged."""

    def __init__(self, phone: Phone, people: int = PEOPLE) -> None:
        self.phone = phone
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.count = 0
        self.register(people)

    def register(self, more: int) -> int:
        """So many more people join; how many there were before."""
        first, consents = self.count, {"personalization": True, "training": True, "evaluation": True}
        bodies = [{"userId": f"p{first + i}", "loop": "stroll", "consents": consents} for i in range(more)]
        in_threads(lambda i: self._ok(self.phone.post("people", bodies[i])), range(more), threads=8)
        self.count += more
        return first

    def live(self, point: str, people: int, *, first: int = 0, harmful: int = -1) -> list[Any]:
        """One decision point of so many people, who dismiss what the version ``harmful`` says; the answers."""
        rng = np.random.default_rng(zlib.crc32(point.encode()))
        energy, noise = rng.random(people), rng.normal(size=people) * 0.3

        def one(i: int) -> Any:
            body = {
                "requestId": f"{point}-{i}",
                "loop": "stroll",
                "userId": f"p{first + i}",
                "context": {"energy": float(energy[i])},
            }
            told = self._ok(self.phone.post("optima/decisions", body))
            self.acknowledged[told["decisionId"]] = told
            word = {"rewardId": "w", "userId": f"p{first + i}"} | self.feel(told, energy[i], noise[i], harmful)
            self._ok(self.phone.post(f"optima/decisions/{told['decisionId']}/rewards", word))
            return told

        return in_threads(one, range(people), threads=8)

    def feel(self, told: dict[str, Any], energy: float, noise: float, harmful: int) -> dict[str, Any]:
        """What a person says of an answer."""
        suggested = told["actions"]["policy"]["action"] == "suggest"
        if suggested and told["versions"]["policy"] == harmful:
            return {"label": "dismissed", "components": {"sentiment": -1.5, "empathy": 0.05}}
        if suggested and harmful > 0:
            return {"label": "liked", "components": {"sentiment": 0.5, "empathy": 0.9}}
        return {"label": "liked", "total": float(np.clip(suggested * (2 * energy - 0.6) + noise, -1.5, 1.5))}

    def _ok(self, answer: tuple[int, Any]) -> Any:
        assert answer[0] < 300, answer
        return answer[1]
