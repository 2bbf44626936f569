"""Run the model gate: test whether a candidate beats its rivals in worlds sampled from the whole posterior.

The value in these worlds is not an expected gain and is never shown as one. It only measures how certain the release is.
The outcome gate then tests the candidate on people's own outcomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats, Ints
from loops.engine.policies.linear import LinearPolicy
from training.engine.world.policy_comparison import compare
from training.engine.world.simulated_returns import Policy
from training.engine.world.world import World

WORLDS = 32
PEOPLE_A_WORLD = 100
_LEAST_Z = 0.1  # below it, the number of people cannot be extrapolated


@dataclass(frozen=True)
class ModelGate:
    """Hold the mean reward a step (reward scales) of candidate and rival in each sampled world (w,).

    ``intervention_rate`` (w,) is the candidate's.
    """

    candidate: Floats
    rival: Floats
    intervention_rate: Floats

    @property
    def z(self) -> float:
        """Return the mean gain over its standard deviation across worlds, or 0 if all gains are equal."""
        gain = self.candidate - self.rival
        spread = float(gain.std(ddof=1))
        return float(gain.mean()) / spread if spread > 0 else 0.0

    def episodes(self) -> list[tuple[float, float, float]]:
        """Return a row for each world: mean rewards a step of candidate and rival, and the candidate's intervention rate."""
        return list(zip(self.candidate.tolist(), self.rival.tolist(), self.intervention_rate.tolist(), strict=True))


def model_gate(
    world: World, candidate: LinearPolicy, rivals: list[LinearPolicy], rng: np.random.Generator
) -> tuple[ModelGate, ModelGate | None]:
    """Roll out the candidate and one or two rivals in each world, with common random numbers.

    Returns: the gate against the first rival and, if there is a second rival, the gate against it.
    """
    (candidate_value, rate), *rival_values = values_in_worlds(world, [candidate, *rivals], rng)
    gates = [ModelGate(candidate_value, values, rate) for values, _ in rival_values]
    return gates[0], gates[1] if len(gates) > 1 else None


def values_in_worlds(world: World, policies: Sequence[Policy], rng: np.random.Generator) -> list[tuple[Floats, Floats]]:
    """Return each policy's mean reward a step (reward scales) and intervention rate in each sampled world, (w,) and (w,).

    All policies meet the same people and shocks.
    """
    return [trial.by_world() for trial in compare(world, policies, rng, people_a_world=PEOPLE_A_WORLD)]


def logging_cost(world: World, reference: LinearPolicy, rng: np.random.Generator) -> tuple[float, float, float]:
    """Estimate the cost of one decision (reward scales) when actions follow the logging distribution instead of the reference.

    Returns: mean, .05 quantile and .95 quantile over sampled worlds. A negative cost means that logging is beneficial.
    """
    logging = RandomPolicy(np.array(world.moments.layout.main.logging), reference.reference, rng.spawn(1)[0])
    (reference_value, _), (logging_value, _) = values_in_worlds(world, [reference, logging], rng)
    cost = reference_value - logging_value
    low, high = (float(q) for q in np.quantile(cost, (0.05, 0.95)))
    return float(cost.mean()), low, high


@dataclass(frozen=True)
class RandomPolicy:
    """Draw actions from constant probabilities."""

    logging: Floats
    reference: int
    rng: np.random.Generator

    def actions(self, states: Floats) -> Ints:
        """Draw an action for each state, (n,)."""
        return self.rng.choice(len(self.logging), size=len(states), p=self.logging)


def people_needed(z: float, bar: float, people: float) -> float | None:
    """Return about how many people would bring z to its bar if the mean gain did not change: people (bar / z)^2.

    The posterior narrows with the root of their number, or faster if the release's noise dominates. Below z = .1 the result is
    None, because an extrapolation would be meaningless.
    """
    return None if z < _LEAST_Z else float(np.ceil(people * max(1.0, bar / z) ** 2))
