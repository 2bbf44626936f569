"""Rolling policies through drawn worlds: what they are worth there.

Common random numbers throughout: one seed gives every policy the same people and the same shocks, so that differences
between policies are far more precise than their values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

import numpy as np

from core.arrays import Floats, Ints
from training.engine.world.world_model import StepOutcome, World

ROLLOUT_STEPS = 100  # at 40 steps, worlds whose interventions pay now and harm later were misjudged


class Policy(Protocol):
    """What can be rolled: it chooses an action for each state, and has a reference action."""

    @property
    def reference(self) -> int: ...

    def actions(self, states: Floats) -> Ints: ...


P = TypeVar("P", bound=Policy)


def rollout(
    world: World, policies: Iterable[P], start: Floats, worlds: Ints, seed: int
) -> Iterator[tuple[P, Floats, Floats]]:
    """Yield each policy with its mean reward and intervention rate a step, of each person (n,), over 100 steps.

    Somebody who left earns nothing further. Person i begins in ``start[i]`` (n, F) and lives in world ``worlds[i]``. One ``seed``
    gives all policies the same shocks.
    """
    for policy in policies:
        total, interventions, alive = np.zeros(len(start)), np.zeros(len(start)), np.ones(len(start))
        for actions, outcome in _steps(world, policy, start, worlds, seed):
            total += alive * outcome.reward
            interventions += alive * (actions != policy.reference)
            alive = alive * outcome.stays
        yield policy, total / ROLLOUT_STEPS, interventions / ROLLOUT_STEPS


def discounted_returns(world: World, policy: Policy, start: Floats, seed: int, *, gamma: float) -> Floats:
    """(n,) discounted reward of 100 steps from each state (n, F) in the one world that there is, leaving included."""
    weight, total = np.ones(len(start)), np.zeros(len(start))
    for _, outcome in _steps(world, policy, start, np.zeros(len(start), dtype=np.int64), seed):
        total += weight * outcome.reward
        weight = weight * gamma * outcome.stays
    return total


def _steps(world: World, policy: Policy, start: Floats, worlds: Ints, seed: int) -> Iterator[tuple[Ints, StepOutcome]]:
    """The actions and what followed, step by step."""
    rng, states = np.random.default_rng(seed), start
    for _ in range(ROLLOUT_STEPS):
        actions = policy.actions(states)
        outcome = world.step(states, actions, worlds, rng)
        yield actions, outcome
        states = outcome.next_state
