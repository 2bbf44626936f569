"""Rolling policies through drawn worlds: what they are worth there.

Common random numbers throughout: one seed gives every policy the same people and the same shocks, so that differences
between policies are far more precise than their values.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from core.arrays import Floats, Ints
from loops.engine.features import FeatureMap
from loops.engine.policies.linear import LinearPolicy
from training.engine.world.world_model import World

ROLLOUT_STEPS = 100  # at 40 steps, worlds whose interventions pay now and harm later were misjudged
_RIDGE = 1e-3


class ActingPolicy(Protocol):
    """What can be rolled: it chooses an action for each state, and has a reference action."""

    @property
    def reference(self) -> int: ...

    def actions(self, states: Floats) -> Ints: ...


def rollout(world: World, policy: ActingPolicy, start: Floats, worlds: Ints, seed: int) -> tuple[Floats, Floats]:
    """Mean reward and intervention rate a step, for each person (n,), over 100 steps; who left earns nothing further."""
    rng = np.random.default_rng(seed)
    states, alive = start, np.ones(len(start))
    total, interventions = np.zeros(len(start)), np.zeros(len(start))
    for _ in range(ROLLOUT_STEPS):
        actions = policy.actions(states)
        outcome = world.step(states, actions, worlds, rng)
        total += alive * outcome.reward
        interventions += alive * (actions != policy.reference)
        alive = alive * outcome.stays
        states = outcome.next_state
    return total / ROLLOUT_STEPS, interventions / ROLLOUT_STEPS


def policy_values(
    world: World, policy: LinearPolicy, phi: FeatureMap, states: Floats, seed: int, *, gamma: float
) -> Floats:
    """(d,) V(s) = phi(s) . v of following the policy: discounted rewards of 100 steps from each state, regressed on phi.

    Monte Carlo instead of a fixed point: a known feature that ends at its bound (time since an intervention) has no linear
    fixed point, and a bootstrapped value would go on growing along it.
    """
    rng = np.random.default_rng(seed)
    worlds = np.zeros(len(states), dtype=np.int64)
    current, weight, total = states, np.ones(len(states)), np.zeros(len(states))
    for _ in range(ROLLOUT_STEPS):
        outcome = world.step(current, policy.actions(current), worlds, rng)
        total += weight * outcome.reward
        weight = weight * gamma * outcome.stays
        current = outcome.next_state
    return np.asarray(regression(phi.phi(states)) @ total)


def regression(features: Floats) -> Floats:
    """(d, n) matrix that turns n targets into ridge coefficients. The intercept is free: values are large beside advantages, and
    a penalty on their mean would be paid by every other coefficient.
    """
    penalty = np.full(features.shape[1], _RIDGE * len(features))
    penalty[0] = 0.0
    return np.asarray(np.linalg.solve(features.T @ features + np.diag(penalty), features.T))
