"""The model gate: is the candidate better than what it must beat, in worlds drawn from the whole posterior?

Model value is no expected gain and is never shown as one: it only says how sure the release makes us. The people's own
outcomes are asked afterwards (the outcome gate).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats, Ints
from loops.engine.policies.linear import LinearPolicy
from training.engine.world.comparison import compare
from training.engine.world.rollout import Policy
from training.engine.world.world_model import World

WORLDS = 32
PEOPLE_A_WORLD = 100
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


def model_gate(
    world: World, candidate: LinearPolicy, rivals: list[LinearPolicy], rng: np.random.Generator
) -> tuple[ModelGate, ModelGate | None]:
    """Roll the candidate and one or two rivals through each world with common random numbers: a gate a rival."""
    (ours, rate), *theirs = values_in_worlds(world, [candidate, *rivals], rng)
    gates = [ModelGate(ours, values, rate) for values, _ in theirs]
    return gates[0], gates[1] if len(gates) > 1 else None


def values_in_worlds(world: World, policies: Sequence[Policy], rng: np.random.Generator) -> list[tuple[Floats, Floats]]:
    """Mean reward a step (reward scales) and intervention rate of each policy in each drawn world, (w,) and (w,); the people and
    shocks are the same for all.
    """
    return [trial.by_world() for trial in compare(world, policies, rng, people_a_world=PEOPLE_A_WORLD)]


def logging_cost(world: World, reference: LinearPolicy, rng: np.random.Generator) -> tuple[float, float, float]:
    """What a decision point costs people (reward scales) while actions are drawn from the logging distribution instead of the
    reference: mean over drawn worlds, and their .05 and .95 quantiles. Below 0: logging does them good.
    """
    drawing = RandomPolicy(np.array(world.moments.layout.main.logging), reference.reference, rng.spawn(1)[0])
    (theirs, _), (ours, _) = values_in_worlds(world, [reference, drawing], rng)
    low, high = (float(q) for q in np.quantile(theirs - ours, (0.05, 0.95)))
    return float((theirs - ours).mean()), low, high


@dataclass(frozen=True)
class RandomPolicy:
    """Actions drawn from constant probabilities."""

    logging: Floats
    reference: int
    rng: np.random.Generator

    def actions(self, states: Floats) -> Ints:
        """(n,) drawn actions."""
        return self.rng.choice(len(self.logging), size=len(states), p=self.logging)


def people_needed(z: float, bar: float, people: float) -> float | None:
    """About how many people would bring z to its bar, if the mean gain stayed what it is: people (bar / z)^2, as the posterior
    narrows with the root of their number (faster where the release's noise dominates). None under z = .1: it cannot be told.
    """
    return None if z < _LEAST_Z else float(np.ceil(people * max(1.0, bar / z) ** 2))
