"""Fitted Q-iteration on transitions whose answer is known, the support cap, and reproducibility."""

from __future__ import annotations

import numpy as np
import pytest

from loops.engine.features import FeatureMap
from tests.factories.planted import EFFECT, planted_spec
from tests.factories.worlds import taught
from training.engine.trainers.fitted_q import best_candidate, capped_policy, fitted_q, train_candidates
from training.engine.world.transitions import Transitions

SPEC = planted_spec()
PHI = FeatureMap.of(SPEC, False)


def _chain(n: int = 400) -> Transitions:
    """Mood is carried on, energy becomes 1 after speaking and 0 after waiting; energy is rewarding, from the next step on."""
    rng = np.random.default_rng(0)
    state = np.column_stack([rng.uniform(-1, 1, n), rng.integers(0, 2, n).astype(float)])
    after = np.repeat(state[:, None, :], 2, axis=1)
    after[:, 0, 1], after[:, 1, 1] = 0.0, 1.0
    reward = np.repeat(state[:, [1]], 2, axis=1) - np.array([[0.0, 0.3]])  # speaking costs .3 at once
    return Transitions(state, reward, after, np.ones((n, 2)))


@pytest.mark.parametrize(("gamma", "speaks"), [(0.0, False), (0.2, False), (0.5, True), (0.9, True)])
def test_speaking_pays_when_the_next_step_counts_for_more_than_its_cost(gamma: float, speaks: bool) -> None:
    """By hand: speaking now costs .3 and earns gamma at the next step."""
    weights = fitted_q(PHI, _chain(), gamma=gamma)
    values = PHI.phi(_chain().state) @ weights.T
    assert ((values[:, 1] > values[:, 0]) == speaks).all()


def test_values_are_those_of_the_chain() -> None:
    """Always speaking: energy 1 for ever at .7 a step, so Q(energy 1, speak) = .7 / (1 - .5) = 1.4."""
    weights = fitted_q(PHI, _chain(), gamma=0.5)
    full = np.array([[0.0, 1.0]])
    assert (PHI.phi(full) @ weights[1]).item() == pytest.approx(1.4, abs=0.02)


def test_a_bound_on_sweeps_is_kept() -> None:
    one = fitted_q(PHI, _chain(), gamma=0.9, sweeps=1)
    np.testing.assert_allclose(PHI.phi(_chain().state) @ one.T, _chain().reward, atol=0.02)


def test_the_policy_never_speaks_more_often_than_the_log_did() -> None:
    made = taught()
    eager = np.vstack([np.zeros(3), np.array([5.0, 0.1, 0.2])])  # speaking looks good everywhere
    policy = capped_policy(made.spec, "policy", PHI, eager, made.pool.state)
    logged = 1 - made.spec.head("policy").logging[0]
    assert (policy.actions(made.pool.state) == 1).mean() == pytest.approx(logged, abs=0.01)


def test_the_best_candidate_speaks_where_it_helps() -> None:
    """The planted effect is .3 + .8 energy: good with energy, bad without."""
    made = taught()
    best = best_candidate(list(train_candidates(made.spec, made.world, made.pool, seed=1)))
    states = np.column_stack([np.zeros(2), np.array([0.05, 0.95])])
    assert EFFECT[2] > 0 and best.policy.actions(states).tolist() == [0, 1]
    assert best.model_gain > 0


def test_the_same_seed_gives_the_same_policy() -> None:
    made = taught()
    one, two = (best_candidate(list(train_candidates(made.spec, made.world, made.pool, seed=3))) for _ in range(2))
    np.testing.assert_array_equal(one.policy.weights, two.policy.weights)
    assert one.model_gain == two.model_gain


def test_the_pool_gives_its_rows_back() -> None:
    made = taught().pool
    again = Transitions.of_rows(made.rows(), taught().spec)
    for name in ("state", "reward", "next_state", "stays"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))


def test_an_action_without_evidence_is_never_chosen_and_counts_for_nothing_later() -> None:
    """Speaking pays at the next step, but was never logged: waiting for ever earns energy now and nothing after."""
    weights = fitted_q(PHI, _chain(), gamma=0.5, without=(1,))
    states = _chain().state
    assert (PHI.phi(np.array([[0.0, 1.0]])) @ weights[0]).item() == pytest.approx(1.0, abs=0.02)
    eager = np.vstack([np.zeros(3), np.array([5.0, 0.1, 0.2])])
    policy = capped_policy(SPEC, "policy", PHI, eager, states, (1,))
    assert not policy.actions(states).any() and policy.margin >= 0.0
