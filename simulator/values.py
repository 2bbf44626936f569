"""The truth about policies: their value by simulation, and the best policy that we know how to find.

A value is the mean reward a decision point over 15 days from the cohort's initial distribution, sub-heads at their reference
where they have no policy. Everything uses common random numbers: one seed gives every policy the same people and shocks.
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
_JUDGES = 4_000
_SEARCH_STATES = 10_000
_SEARCH_STEPS = 20
_ROUNDS = 2


@dataclass(frozen=True)
class ValueEstimate:
    """Mean reward a decision point and its standard error over people."""

    value: float
    standard_error: float


def true_value(
    spec: LoopSpec,
    policy: PolicyFunction | None,
    *,
    seed: int,
    variant: Variant = "companion",
    n_people: int = _JUDGES,
    days: int = VALUE_DAYS,
    sub_policies: Mapping[str, PolicyFunction] | None = None,
) -> ValueEstimate:
    """Value of a policy (None: the logging distribution) on fresh people; the same seed compares policies precisely."""
    rng = np.random.default_rng([seed, 77])
    cohort = simulate(spec, make_people(n_people, rng, variant=variant), days, rng, policy, sub_policies)
    by_person = cohort.reward.mean(axis=1)
    return ValueEstimate(float(by_person.mean()), float(by_person.std(ddof=1) / np.sqrt(n_people)))


def uniform_policy(spec: LoopSpec) -> PolicyFunction:
    """Every action of policy alike: what "random" means in a share."""
    count = len(spec.main_head.actions)
    return lambda states: np.full((len(states), count), 1.0 / count)


def compare_policies(
    spec: LoopSpec, policy: PolicyFunction, *, seed: int, variant: Variant = "companion"
) -> dict[str, float]:
    """``value`` of the policy beside ``random``, ``reference`` and ``best_known``, on the same people and shocks."""
    named: dict[str, PolicyFunction] = {
        "value": policy,
        "random": uniform_policy(spec),
        "reference": reference_policy(spec, MAIN_HEAD),
        "best_known": best_known_policy(spec, variant=variant),
    }
    return {name: true_value(spec, p, seed=seed, variant=variant).value for name, p in named.items()}


def best_known_policy(spec: LoopSpec, *, variant: Variant = "companion", seed: int = 0) -> PolicyFunction:
    """The best policy we can find with the truth at hand, as a function of the observed state alone.

    Rollout policy iteration in the simulator itself: from 10,000 states of people living under the current policy and the
    log, every action is tried with common shocks and the policy followed for 20 steps; advantages over waiting are regressed on
    linear features, on hinges, and on hinges with all their pairs; two rounds, starting from always wait. The best by true value
    is kept (always wait if none beats it), so it is a lower bound of the best policy.
    """
    return _best_known(_Spec(spec), variant, seed)


class _Spec:
    """A cache key for a spec."""

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
        people, inner = _lived(spec, best, variant, rng)
        advantage = _advantages(spec, people, inner, best, rng)
        for features in (FeatureMap.of(spec, False).phi, FeatureMap.of(spec, True).phi, rich):
            policy = _greedy(features, _regressed(features(inner.state), advantage))
            value = true_value(spec, policy, seed=seed, variant=variant).value
            if value > best_value:
                best, best_value = policy, value
    return best


def _regressed(features: Floats, advantage: Floats) -> Floats:
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


def _lived(
    spec: LoopSpec, policy: PolicyFunction, variant: Variant, rng: np.random.Generator
) -> tuple[SimulatedPeople, InnerState]:
    """People at random moments of lives led half under the policy, half under the log."""
    people = make_people(_SEARCH_STATES, rng, variant=variant)
    inner = begin(people, rng)
    until = rng.integers(0, VALUE_DAYS * POINTS_A_DAY - 1, people.n)
    logged = rng.random(people.n) < 0.5
    kept = inner.take(np.arange(people.n))
    for t in range(VALUE_DAYS * POINTS_A_DAY):
        here = until == t
        kept.state[here], kept.fatigue[here] = inner.state[here], inner.fatigue[here]
        draws = rng.random((people.n, len(spec.heads)))
        ours, _ = choose(spec, inner.state, draws, policy, {})
        theirs, _ = choose(spec, inner.state, draws, None, {})
        actions = {h: np.where(logged, theirs[h], ours[h]) for h in ours}
        inner = step(spec, people, inner, actions, rng.normal(size=(people.n, SHOCKS))).after
    return people, kept


def _advantages(
    spec: LoopSpec, people: SimulatedPeople, inner: InnerState, policy: PolicyFunction, rng: np.random.Generator
) -> Floats:
    """(n, K) gain over waiting of each action taken once, the policy followed afterwards, with common shocks."""
    actions = len(spec.main_head.actions)
    seed = int(rng.integers(2**63))
    totals = np.zeros((people.n, actions))
    for k in range(actions):
        shocks = np.random.default_rng(seed)
        current, chosen = inner, _first(spec, people.n, k)
        for _ in range(_SEARCH_STEPS):
            lived = step(spec, people, current, chosen, shocks.normal(size=(people.n, SHOCKS)))
            totals[:, k] += lived.reward
            current = lived.after
            chosen, _ = choose(spec, current.state, shocks.random((people.n, len(spec.heads))), policy, {})
    return totals - totals[:, [spec.main_head.reference_index]]


def _first(spec: LoopSpec, n: int, action: int) -> dict[str, Ints]:
    """Everybody takes one action of policy, the sub-heads their reference."""
    return {h.name: np.full(n, action if h.name == MAIN_HEAD else h.reference_index) for h in spec.heads}
