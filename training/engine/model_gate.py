"""The model gate: is the candidate better than what it must beat, in worlds drawn from the whole posterior?

Model value is no expected gain and is never shown as one: it only says how sure the release makes us. The people's own
outcomes are asked afterwards (the outcome gate).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loops.engine.policy import LinearPolicy
from privacy.engine.rows import Floats
from training.engine.rollout import roll
from training.engine.world import World, initial_states

WORLDS = 32
PEOPLE_A_WORLD = 100
BAR_REFERENCE = 1.3
BAR_INCUMBENT = 0.5
_LEAST_Z = 0.1


@dataclass(frozen=True)
class ModelGate:
    """Mean reward a step (reward scales) of candidate and rival in each drawn world (w,), and the verdict's z."""

    candidate: Floats
    rival: Floats
    intervention_rate: Floats

    @property
    def z(self) -> float:
        gain = self.candidate - self.rival
        spread = float(gain.std(ddof=1))
        return float(gain.mean()) / spread if spread > 0 else 0.0

    def episodes(self) -> list[tuple[float, float, float]]:
        """Candidate's and rival's mean reward a step, and the candidate's intervention rate, a drawn world a row."""
        return list(zip(self.candidate.tolist(), self.rival.tolist(), self.intervention_rate.tolist(), strict=True))


def model_gate(world: World, candidate: LinearPolicy, rival: LinearPolicy, rng: np.random.Generator) -> ModelGate:
    """Roll both policies through each world with common random numbers."""
    drawn = len(world.coefficients)
    worlds = np.arange(drawn * PEOPLE_A_WORLD) % drawn
    start = initial_states(world, len(worlds), rng)
    seed = int(rng.integers(2**63))
    ours, rate = roll(world, candidate, start, worlds, seed)
    theirs, _ = roll(world, rival, start, worlds, seed)
    count = np.bincount(worlds)
    by_world = [np.bincount(worlds, weights=x) / count for x in (ours, theirs, rate)]
    return ModelGate(*by_world)


def people_needed(z: float, bar: float, people: float) -> float | None:
    """About how many people would bring z to its bar, if the mean gain stayed what it is: people (bar / z)^2, as the posterior
    narrows with the root of their number (faster where the release's noise dominates). None under z = .1: it cannot be told.
    """
    return None if z < _LEAST_Z else float(np.ceil(people * max(1.0, bar / z) ** 2))
