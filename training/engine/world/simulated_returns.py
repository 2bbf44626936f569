"""Roll out policies in sampled worlds to estimate their value there.

All rollouts use common random numbers: one seed gives every policy the same people and the same shocks. Differences between
policies are therefore far more precise than their values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

import numpy as np

from core.arrays import Floats, Ints
from training.engine.world.world import StepOutcome, World

ROLLOUT_STEPS = 100  # 40 steps misjudged worlds in which interventions help now and harm later


class Policy(Protocol):
    """Define a policy that can be rolled out: it chooses an action for each state, and has a reference action."""

    @property
    def reference(self) -> int: ...

    def actions(self, states: Floats) -> Ints: ...


P = TypeVar("P", bound=Policy)


def rollout(
    world: World, policies: Iterable[P], start: Floats, worlds: Ints, seed: int
) -> Iterator[tuple[P, Floats, Floats]]:
    """Roll out each policy for 100 steps and yield it with each person's mean reward and intervention rate a step, (n,) each.

    A person who left earns nothing further.

    Args:
        start: (n, F) initial states.
        worlds: (n,) the world that each person lives in.
        seed: gives all policies the same shocks.
    """
    for policy in policies:
        total, interventions, alive = np.zeros(len(start)), np.zeros(len(start)), np.ones(len(start))
        for actions, outcome in _steps(world, policy, start, worlds, seed):
            total += alive * outcome.reward
            interventions += alive * (actions != policy.reference)
            alive = alive * outcome.stays
        yield policy, total / ROLLOUT_STEPS, interventions / ROLLOUT_STEPS


def _steps(world: World, policy: Policy, start: Floats, worlds: Ints, seed: int) -> Iterator[tuple[Ints, StepOutcome]]:
    """Yield the actions and outcomes of each step."""
    rng, states = np.random.default_rng(seed), start
    for _ in range(ROLLOUT_STEPS):
        actions = policy.actions(states)
        outcome = world.step(states, actions, worlds, rng)
        yield actions, outcome
        states = outcome.next_state
