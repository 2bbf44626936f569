"""The model gate: is the candidate better than what it must beat, in worlds drawn from the whole posterior?

Model value is no expected gain and is never shown as one: it only says how sure the release makes us. The people's own
outcomes are asked afterwards (the outcome gate).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loops.engine.policy import LinearPolicy
from privacy.engine.rows import Floats
from training.engine.world import World, initial_states

WORLDS = 32
PEOPLE_A_WORLD = 100
STEPS = 100
BAR_REFERENCE = 1.3  # at 40 steps instead of 100, worlds whose interventions pay now and harm later passed
BAR_INCUMBENT = 0.5


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

    def passes(self, bar: float = BAR_REFERENCE) -> bool:
        return self.z >= bar


def model_gate(world: World, candidate: LinearPolicy, rival: LinearPolicy, rng: np.random.Generator) -> ModelGate:
    """Roll both policies for 100 steps through each world with common random numbers."""
    worlds = np.arange(len(world.coefficients) * PEOPLE_A_WORLD) % len(world.coefficients)
    start = initial_states(world, len(worlds), rng)
    seed = int(rng.integers(2**63))
    ours, rate = _roll(world, candidate, start, worlds, seed)
    theirs, _ = _roll(world, rival, start, worlds, seed)
    return ModelGate(ours, theirs, rate)


def _roll(
    world: World, policy: LinearPolicy, start: Floats, worlds: np.ndarray, seed: int
) -> tuple[Floats, Floats]:
    """Mean reward and intervention rate a step by world; somebody who left earns nothing further."""
    rng = np.random.default_rng(seed)
    states, alive = start, np.ones(len(start))
    total, interventions = np.zeros(len(start)), np.zeros(len(start))
    for _ in range(STEPS):
        actions = policy.actions(states)
        outcome = world.step(states, actions, worlds, rng)
        total += alive * outcome.reward
        interventions += alive * (actions != policy.reference)
        alive = alive * outcome.stays
        states = outcome.next_state
    count = np.bincount(worlds)
    return np.bincount(worlds, weights=total) / count / STEPS, np.bincount(worlds, weights=interventions) / count / STEPS
