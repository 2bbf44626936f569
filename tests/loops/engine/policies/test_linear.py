from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loops.engine.features import FeatureMap
from loops.engine.policies.linear import LinearPolicy, never_choosing, policy_from_arrays, reference_policy
from loops.engine.state.support import known_support
from tests.factories.builtin_loops import builtin
from tests.factories.loops import states_of

SPEC = builtin("r3al")
STATES = states_of(SPEC, 200)


def learned(margin: float = 0.0, seed: int = 3) -> LinearPolicy:
    phi = FeatureMap.of(SPEC, True)
    weights = np.random.default_rng(seed).normal(size=(len(SPEC.head("policy").actions), phi.width))
    return LinearPolicy(phi, weights, margin, SPEC.head("policy").reference_index)


@pytest.mark.parametrize("head", ["policy", "timing", "tone", "empathy"])
def test_the_reference_policy_always_takes_the_declared_action(head: str) -> None:
    assert set(reference_policy(SPEC, head).actions(STATES)) == {SPEC.head(head).reference_index}


def test_the_action_of_greatest_value_is_taken() -> None:
    policy = learned()
    assert (policy.actions(STATES) == (policy.phi.phi(STATES) @ policy.weights.T).argmax(axis=1)).all()


def test_ties_go_to_the_reference() -> None:
    policy = replace(learned(), weights=np.zeros((5, 16)), reference=2)
    assert set(policy.actions(STATES)) == {2}


def test_a_greater_margin_intervenes_less() -> None:
    shares = [np.mean(learned(m).actions(STATES) != 0) for m in (0.0, 1.0, 3.0, 1e3)]
    assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1] == 0


def test_probabilities_are_one_for_the_action_taken() -> None:
    got = learned()(STATES)
    assert got.shape == (200, 5)
    assert (got.sum(axis=1) == 1).all() and (got.argmax(axis=1) == learned().actions(STATES)).all()


def test_a_stored_policy_decides_as_it_did() -> None:
    policy = learned(0.4)
    arrays = {"weights": policy.weights, "margin": np.array(0.4)}
    again = policy_from_arrays(SPEC, "policy", arrays, hinges=True)
    assert (again.actions(STATES) == policy.actions(STATES)).all()


def test_a_stored_policy_keeps_the_support_that_it_was_trained_on() -> None:
    """A version without one was trained on features held by their bounds alone, and decides as it always did."""
    support = known_support(SPEC)
    held = replace(learned(0.4), phi=FeatureMap.of(SPEC, True, support))
    arrays = {"weights": held.weights, "margin": np.array(0.4), "support": np.array(support)}
    assert policy_from_arrays(SPEC, "policy", arrays, hinges=True).phi.support == support
    old = policy_from_arrays(SPEC, "policy", {n: arrays[n] for n in ("weights", "margin")}, hinges=True)
    assert old.phi.support == () and (old.actions(STATES) == learned(0.4).actions(STATES)).all()
    np.testing.assert_array_equal(
        policy_from_arrays(SPEC, "policy", arrays, hinges=True).values(STATES), held.values(STATES)
    )


def test_actions_that_may_not_be_chosen_are_never_chosen() -> None:
    policy = learned(0.0)
    barred = replace(policy, weights=never_choosing(policy.weights, (1, 3), policy.reference))
    assert {1, 3} & set(policy.actions(STATES).tolist())
    assert not {1, 3} & set(barred.actions(STATES).tolist())


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(5, 16\).*\(5, 11\)"):
        policy_from_arrays(SPEC, "policy", {"weights": learned().weights, "margin": np.array(0.0)}, hinges=False)
