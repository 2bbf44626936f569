"""Rolling policies through drawn worlds: their value, and better policies from it.

Common random numbers throughout: one seed gives every policy the same people and the same shocks, so that differences
between policies are far more precise than their values.
"""

from __future__ import annotations

import numpy as np

from loops.engine.features import FeatureMap
from loops.engine.policy import LinearPolicy
from privacy.engine.rows import Floats, Ints
from training.engine.world import World

STEPS = 100  # at 40 steps, worlds whose interventions pay now and harm later were misjudged
_RIDGE = 1e-3


def roll(world: World, policy: LinearPolicy, start: Floats, worlds: Ints, seed: int) -> tuple[Floats, Floats]:
    """Mean reward and intervention rate a step, for each person (n,), over 100 steps; who left earns nothing further."""
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
    return total / STEPS, interventions / STEPS


def rollout_q(world: World, policy: LinearPolicy, states: Floats, seed: int, *, steps: int = 60) -> Floats:
    """(n, K) sum of rewards over ``steps`` when each action is taken once and the policy followed afterwards."""
    actions = world.coefficients.shape[1]
    worlds = np.zeros(len(states), dtype=np.int64)
    out = np.zeros((len(states), actions))
    for k in range(actions):
        rng = np.random.default_rng(seed)
        current, alive, chosen = states, np.ones(len(states)), np.full(len(states), k)
        for _ in range(steps):
            outcome = world.step(current, chosen, worlds, rng)
            out[:, k] += alive * outcome.reward
            alive = alive * outcome.stays
            current = outcome.next_state
            chosen = policy.actions(current)
    return out


def improved_weights(world: World, policy: LinearPolicy, phi: FeatureMap, states: Floats, seed: int) -> Floats:
    """(K, d) weights whose greedy policy improves on ``policy``: advantages over the reference, regressed on phi.

    Rollout policy iteration (Bertsekas and Tsitsiklis 1996, 6.4): unlike fitted Q-iteration it never bootstraps a linear value,
    so a small advantage is not lost in the error of a large value.
    """
    q = rollout_q(world, policy, states, seed)
    features = phi.phi(states)
    gram = features.T @ features + _RIDGE * len(features) * np.eye(features.shape[1])
    return np.asarray(np.linalg.solve(gram, features.T @ (q - q[:, [policy.reference]])).T)
