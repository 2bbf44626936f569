"""Let simulated people live on from day to day, while an app asks a service what to do and reports what came of it.

Nobody opens the app at every decision point. Where they do not, nothing is said to them and nothing is logged.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from core.arrays import Ints
from loops.engine.reward import COMPONENTS
from loops.engine.spec import LoopSpec
from simulator.people import POINTS_A_DAY, SimulatedPeople, begin
from simulator.step import LABELS, SHOCKS, SimulatedStep, step

_VISITS = 0.4  # probability that a person opens the app on a day


class LivingPeople:
    """Hold n people and their present state, and let one decision point after the other pass."""

    def __init__(self, spec: LoopSpec, people: SimulatedPeople, rng: np.random.Generator) -> None:
        """Begin everybody's first morning."""
        self.spec, self.people, self._rng = spec, people, rng
        self._inner = begin(people, rng)

    def visits(self) -> Ints:
        """Draw at which decision point of a day each person opens the app: (n,) numbers, -1 for not at all."""
        comes = self._rng.random(self.people.n) < _VISITS
        return np.where(comes, self._rng.integers(0, POINTS_A_DAY, self.people.n), -1)

    def context(self, person: int) -> dict[str, float]:
        """Return what the app knows of a person now, by feature. The hour of the day it leaves to the service."""
        named = zip(self.spec.features, self._inner.state[person], strict=True)
        return {feature.name: float(value) for feature, value in named if not feature.is_category}

    def react(self, actions: Mapping[int, Mapping[str, str]]) -> SimulatedStep:
        """Let one decision point pass for everybody. ``actions``: names by head of the people to whom something was said."""
        spec, n = self.spec, self.people.n
        chosen: dict[str, Ints] = {head.name: np.full(n, head.reference_index) for head in spec.heads}
        for person, by_head in actions.items():
            for head, action in by_head.items():
                chosen[head][person] = spec.head(head).actions.index(action)
        result = step(spec, self.people, self._inner, chosen, self._rng.normal(size=(n, SHOCKS)))
        self._inner = result.after
        return result

    def outcome(self, result: SimulatedStep, person: int) -> tuple[dict[str, float], str]:
        """Return a person's observed reward components by name, and how they answered (empty: not at all)."""
        named = zip(COMPONENTS, result.components[person], strict=True)
        observed = {name: float(value) for name, value in named if np.isfinite(value)}
        return observed, LABELS[int(result.label[person])]
