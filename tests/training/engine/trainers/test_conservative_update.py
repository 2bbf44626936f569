"""Steps from what serves: errors that are not shared cancel, size does not count, harm is left behind whole."""

from __future__ import annotations

import numpy as np
import pytest

from loops.engine.features import FeatureMap
from loops.engine.policies.linear import LinearPolicy
from tests.factories.planted import EFFECT
from tests.factories.worlds import taught
from training.engine.generators.world_model import sample_worlds
from training.engine.trainers import conservative_update
from training.engine.trainers.conservative_update import (
    FULL_STEP_SDS,
    STEP_SHARE,
    best_update,
    interpolate_policies,
)
from training.engine.trainers.protocol import Candidate

MADE = taught()
PHI = MADE.moments.layout.phi
STATES = MADE.pool.state
ERROR = np.array([0.35, 0.6, -0.5])


def policy(effect: np.ndarray, size: float = 1.0) -> LinearPolicy:
    return LinearPolicy(PHI, size * np.vstack([np.zeros(3), effect]), 0.0, 0)


def chosen(serving: LinearPolicy, *fits: LinearPolicy) -> Candidate:
    rng = np.random.default_rng(3)
    worlds = sample_worlds(MADE.moments, MADE.baseline, MADE.effects, 16, rng)
    offered = [Candidate(fit, gamma, 0.0) for gamma, fit in enumerate(fits)]
    return best_update(MADE.spec, worlds, offered, serving, STATES, rng)


@pytest.mark.parametrize("size", [0.01, 1.0, 100.0])
def test_how_much_a_policy_weighs_does_not_follow_from_the_size_of_its_values(size: float) -> None:
    one, two = policy(EFFECT + ERROR), policy(EFFECT - ERROR)
    same = interpolate_policies(MADE.spec, one, two, STATES).actions(STATES)
    np.testing.assert_array_equal(
        interpolate_policies(MADE.spec, one, policy(EFFECT - ERROR, size), STATES).actions(STATES), same
    )


def test_on_the_way_to_itself_nothing_changes() -> None:
    good = policy(EFFECT - np.array([0.5, 0, 0]))
    assert (good.actions(STATES) == 1).mean() < 0.4, "under the support cap, which would change it"
    np.testing.assert_array_equal(
        interpolate_policies(MADE.spec, good, good, STATES).actions(STATES), good.actions(STATES)
    )


def test_on_the_way_the_support_cap_holds() -> None:
    eager = policy(np.array([5.0, 0.1, 0.2]))
    logged = 1 - MADE.spec.head("policy").logging[0]
    assert (interpolate_policies(MADE.spec, eager, eager, STATES).actions(STATES) == 1).mean() <= logged + 0.01


def test_where_serving_and_fit_err_in_opposite_ways_a_part_of_the_way_is_taken() -> None:
    found = chosen(policy(EFFECT + ERROR), policy(EFFECT - ERROR))
    assert found.step == STEP_SHARE


def test_what_harms_is_left_behind_whole() -> None:
    found = chosen(policy(-EFFECT), policy(EFFECT))
    assert found.step == 1.0 and found.policy.weights[1] == pytest.approx(EFFECT)


def test_a_fit_that_is_better_than_another_is_taken() -> None:
    assert chosen(policy(ERROR), policy(-EFFECT), policy(EFFECT)).gamma == 1.0


def test_from_what_has_no_advantages_the_way_leads_to_the_fit() -> None:
    nothing = LinearPolicy(PHI, np.zeros((2, 3)), 0.0, 0)
    fitted = policy(EFFECT - np.array([0.5, 0, 0]))
    np.testing.assert_array_equal(
        interpolate_policies(MADE.spec, nothing, fitted, STATES).actions(STATES), fitted.actions(STATES)
    )


def test_a_linear_policy_goes_on_in_hinged_features_but_not_the_other_way() -> None:
    hinged = FeatureMap.of(MADE.spec, True)
    wider = LinearPolicy(hinged, np.pad(policy(EFFECT).weights, ((0, 0), (0, hinged.width - 3))), 0.0, 0)
    there = interpolate_policies(MADE.spec, policy(EFFECT), wider, STATES)
    assert there.phi == hinged and there.weights.shape == wider.weights.shape
    back = chosen(wider, policy(EFFECT))
    assert back.step == 1.0 and back.policy.phi == PHI


def test_only_differences_from_the_reference_count() -> None:
    """The same values added to every action, the reference's too, change no choice, so they change no step."""
    serving, fitted = policy(EFFECT + ERROR), policy(EFFECT - ERROR)
    lifted = LinearPolicy(PHI, fitted.weights + np.array([2.0, -3.0, 1.0]), 0.0, 0)
    found, expected = (interpolate_policies(MADE.spec, serving, fit, STATES) for fit in (lifted, fitted))
    np.testing.assert_allclose(found.weights, expected.weights, atol=1e-12)
    assert found.margin == pytest.approx(expected.margin)


def test_a_third_of_the_way_is_a_third_of_the_advantages_in_their_own_spread() -> None:
    """Advantages over the reference, margin included, over their root mean square spread: two thirds old, one third new."""
    serving = LinearPolicy(PHI, np.vstack([[0.1, 0.0, 0.2], EFFECT + ERROR]), 0.05, 0)
    fitted = policy(EFFECT - ERROR)
    phi = PHI.phi(STATES)

    def scaled(weights: np.ndarray) -> np.ndarray:
        return np.asarray(weights / np.std(phi @ weights))

    old = scaled(EFFECT + ERROR - np.array([0.15, 0.0, 0.2]))
    new = scaled(EFFECT - ERROR)
    found = interpolate_policies(MADE.spec, serving, fitted, STATES)
    np.testing.assert_allclose(found.weights - found.weights[0], [np.zeros(3), 2 / 3 * old + 1 / 3 * new], atol=1e-12)
    assert STEP_SHARE == 1 / 3 and FULL_STEP_SDS == 2.0


@pytest.mark.parametrize(("sds", "best"), [((1.0, 3.0), 0), ((3.0, 1.0), 1), ((1.0, 1.4), 0), ((1.0, 1.0), 1)])
def test_the_choice_has_the_highest_mean_gain_less_two_sds(
    sds: tuple[float, float], best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gains of 5 and 5.5 on average in three worlds, over an incumbent that is worth 10 in each of them."""
    shape = np.array([-1.0, 0.0, 1.0])
    gains = [5.0 + sds[0] * shape, 5.5 + sds[1] * shape]

    def values(worlds: object, policies: list[LinearPolicy], rng: object) -> list[tuple[np.ndarray, np.ndarray]]:
        found = [np.full(3, 10.0), *(10.0 + gain for gain in gains)]
        found += [np.full(3, -99.0)] * (len(policies) - len(found))
        return [(value, value) for value in found]

    monkeypatch.setattr(conservative_update, "values_in_worlds", values)
    assert chosen(policy(ERROR), policy(-EFFECT), policy(EFFECT)).gamma == best
