"""Compute true policy values by simulation, and search for the best policy with the simulator at hand.

A value is the mean reward per decision point over 15 days from the cohort's initial distribution. Sub-heads without a policy
take their reference action. All comparisons use common random numbers: one seed gives every policy the same people and shocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.arrays import Floats, Ints
from loops.engine.features import FeatureMap
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import reference_policy
from loops.engine.spec import LoopSpec
from simulator.cohort import PolicyFunction, choose, simulate
from simulator.people import POINTS_A_DAY, InnerState, SimulatedPeople, Variant, begin, make_people
from simulator.step import SHOCKS, step

VALUE_DAYS = 15
_EVALUATION_PEOPLE = 4_000
_SEARCH_STATES = 10_000
_SEARCH_STEPS = 20
_ROUNDS = 2


@dataclass(frozen=True)
class ValueEstimate:
    """Hold the mean reward per decision point and its standard error over people."""

    value: float
    standard_error: float


def true_value(
    spec: LoopSpec,
    policy: PolicyFunction | None,
    *,
    seed: int,
    variant: Variant = "companion",
    n_people: int = _EVALUATION_PEOPLE,
    days: int = VALUE_DAYS,
    sub_policies: Mapping[str, PolicyFunction] | None = None,
) -> ValueEstimate:
    """Estimate the value of a policy on newly drawn people. Comparisons are most precise with the same seed.

    Args: policy: None evaluates the logging distribution.
    """
    rng = np.random.default_rng([seed, 77])
    cohort = simulate(spec, make_people(n_people, rng, variant=variant), days, rng, policy, sub_policies)
    by_person = cohort.reward.mean(axis=1)
    return ValueEstimate(float(by_person.mean()), float(by_person.std(ddof=1) / np.sqrt(n_people)))


def uniform_policy(spec: LoopSpec) -> PolicyFunction:
    """Return the policy that takes every action of the main head with equal probability."""
    count = len(spec.main_head.actions)
    return lambda states: np.full((len(states), count), 1.0 / count)


def compare_policies(
    spec: LoopSpec, policy: PolicyFunction, *, seed: int, variant: Variant = "companion"
) -> dict[str, float]:
    """Compare a policy (``value``) with ``random``, ``reference`` and ``best_known`` on the same people and shocks."""
    named: dict[str, PolicyFunction] = {
        "value": policy,
        "random": uniform_policy(spec),
        "reference": reference_policy(spec, MAIN_HEAD),
        "best_known": best_known_policy(spec, variant=variant),
    }
    return {name: true_value(spec, p, seed=seed, variant=variant).value for name, p in named.items()}


def best_known_policy(spec: LoopSpec, *, variant: Variant = "companion", seed: int = 0) -> PolicyFunction:
    """Search for the best policy that uses the observed state only, by rollout policy iteration in the simulator.

    The search draws 10,000 states of people under the current policy and under the log. From each state it tries every action
    with common shocks and follows the policy for 20 steps. It regresses the advantages over waiting on linear features, on
    hinges, and on hinges with all their pairs. There are two rounds, starting from "always wait". The best policy by true value
    is returned (always wait if none beats it), so its value is a lower bound of the optimum.
    """
    return _best_known(_Spec(spec), variant, seed)


class _Spec:
    """Make a loop specification hashable, as a cache key."""

    def __init__(self, spec: LoopSpec) -> None:
        self.spec, self.text = spec, repr(spec)

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Spec) and other.text == self.text


@lru_cache(maxsize=8)
def _best_known(key: _Spec, variant: Variant, seed: int) -> PolicyFunction:
    spec = key.spec
    rich = _rich_features(spec)
    best: PolicyFunction = reference_policy(spec, MAIN_HEAD)
    best_value = true_value(spec, best, seed=seed, variant=variant).value
    for i in range(_ROUNDS):
        rng = np.random.default_rng([seed, 99, i])
        people, inner = _visited_states(spec, best, variant, rng)
        advantage = _advantages(spec, people, inner, best, rng)
        for features in (FeatureMap.of(spec, False).phi, FeatureMap.of(spec, True).phi, rich):
            policy = _greedy(features, _ridge_weights(features(inner.state), advantage))
            value = true_value(spec, policy, seed=seed, variant=variant).value
            if value > best_value:
                best, best_value = policy, value
    return best


def _ridge_weights(features: Floats, advantage: Floats) -> Floats:
    gram = features.T @ features + 1e-2 * len(features) * np.eye(features.shape[1])
    return np.asarray(np.linalg.solve(gram, features.T @ advantage))


def _rich_features(spec: LoopSpec) -> Callable[[Floats], Floats]:
    phi = FeatureMap.of(spec, True)
    i, j = np.triu_indices(phi.width)

    def rich(states: Floats) -> Floats:
        base = phi.phi(states)
        return np.asarray(base[:, i] * base[:, j])

    return rich


def _greedy(rich: Callable[[Floats], Floats], weights: Floats) -> PolicyFunction:
    return lambda states: np.eye(weights.shape[1])[(rich(states) @ weights).argmax(axis=1)]


def _visited_states(
    spec: LoopSpec, policy: PolicyFunction, variant: Variant, rng: np.random.Generator
) -> tuple[SimulatedPeople, InnerState]:
    """Draw people with their states at random decision points, half of them under the policy, half under the log."""
    people = make_people(_SEARCH_STATES, rng, variant=variant)
    inner = begin(people, rng)
    until = rng.integers(0, VALUE_DAYS * POINTS_A_DAY - 1, people.n)
    logged = rng.random(people.n) < 0.5
    visited = inner.take(np.arange(people.n))
    for t in range(VALUE_DAYS * POINTS_A_DAY):
        here = until == t
        visited.state[here], visited.fatigue[here] = inner.state[here], inner.fatigue[here]
        draws = rng.random((people.n, len(spec.heads)))
        by_policy, _ = choose(spec, inner.state, draws, policy, {})
        by_log, _ = choose(spec, inner.state, draws, None, {})
        actions = {h: np.where(logged, by_log[h], by_policy[h]) for h in by_policy}
        inner = step(spec, people, inner, actions, rng.normal(size=(people.n, SHOCKS))).after
    return people, visited


def _advantages(
    spec: LoopSpec, people: SimulatedPeople, inner: InnerState, policy: PolicyFunction, rng: np.random.Generator
) -> Floats:
    """Estimate (n, K) advantages over waiting: each action is taken once, then the policy is followed, with common shocks."""
    actions = len(spec.main_head.actions)
    seed = int(rng.integers(2**63))
    totals = np.zeros((people.n, actions))
    for k in range(actions):
        shocks = np.random.default_rng(seed)
        current, chosen = inner, _first(spec, people.n, k)
        for _ in range(_SEARCH_STEPS):
            result = step(spec, people, current, chosen, shocks.normal(size=(people.n, SHOCKS)))
            totals[:, k] += result.reward
            current = result.after
            chosen, _ = choose(spec, current.state, shocks.random((people.n, len(spec.heads))), policy, {})
    return totals - totals[:, [spec.main_head.reference_index]]


def _first(spec: LoopSpec, n: int, action: int) -> dict[str, Ints]:
    """Return actions (n,) by head in which everybody takes one action of the main head, and sub-heads take their reference."""
    return {h.name: np.full(n, action if h.name == MAIN_HEAD else h.reference_index) for h in spec.heads}
