"""People of a world keep their states from month to month, and the log says how each action was chosen."""

import numpy as np
import pytest

from benchmarks.worlds.population import Population
from benchmarks.worlds.registry import FAMILIES, OUTWEIGHED, PLANTED, world_named
from loops.engine.features import FeatureMap
from loops.engine.policies.linear import LinearPolicy


def always(world, action: int) -> LinearPolicy:
    phi = FeatureMap.of(world.spec, False)
    weights = np.zeros((len(world.spec.main_head.actions), phi.width))
    weights[action, 0] = 1.0
    return LinearPolicy(phi, weights, 0.0, world.spec.main_head.reference_index)


def population(name: str, people: int = 200) -> Population:
    return Population(world_named(name), people, np.random.default_rng(3))


@pytest.mark.parametrize("name", [*FAMILIES, *PLANTED, *OUTWEIGHED])
def test_each_world_gives_rows_that_a_release_and_an_evaluation_read(name):
    month = population(name, 60).live(5)
    rows, evaluation = month.training(), month.evaluation()
    assert rows.users == month.decided.any(axis=1).sum()
    assert np.array_equal(np.unique(rows.person), np.arange(rows.users))
    assert np.all(np.diff(rows.person) >= 0)
    assert np.isfinite(rows.state).all() and np.isfinite(rows.reward).all()
    assert np.all((rows.propensity > 0) & (rows.propensity <= 1))
    assert len(evaluation.harmful) == len(evaluation.empathy) == len(rows.person)


def test_states_stay_inside_their_public_bounds():
    world = world_named("sign_flips")
    state = Population(world, 100, np.random.default_rng(1)).live(5).state
    for i, feature in enumerate(world.spec.features):
        low, high = (0, len(feature.categories) - 1) if feature.is_category else feature.range
        assert state[:, :, i].min() >= low and state[:, :, i].max() <= high


def test_the_mean_inverse_propensity_of_every_action_is_one():
    month = population("near_linear", 1_000).live(20, exploration=0.4)
    rows = month.evaluation().rows
    for action in (0, 1, 4):
        assert np.mean((rows.action == action) / rows.propensity) == pytest.approx(1.0, abs=0.06)


def test_each_arm_is_served_its_own_policy_and_explores_as_much():
    world = world_named("near_linear")
    arm = np.arange(200) % 2
    month = Population(world, 200, np.random.default_rng(3)).live(5, (None, always(world, 2)), 0.1, arm)
    greedy = month.decided & ~month.explored
    assert np.all(month.action[arm == 0][greedy[arm == 0]] == 0)
    assert np.all(month.action[arm == 1][greedy[arm == 1]] == 2)
    assert month.explored[month.decided].mean() == pytest.approx(0.1, abs=0.02)
    assert np.array_equal(month.arms(), arm)
    chose = month.decided[1] & (month.action[1] == 2)
    assert month.marginal[1][chose] == pytest.approx(0.9 + 0.1 * 0.1)


def test_people_keep_their_states_and_new_ones_replace_those_who_left():
    people = population("hidden_states", 300)
    first = people.live(30)
    second = people.live(1)
    stayed = first.present[:, -1] & ~first.dropped_out[:, -1]
    assert 0 < (~stayed).sum() < 150
    assert second.present[:, 0].all()
    load = people.world.columns["load"]
    assert np.all(second.state[~stayed][:, 0, load] == 0)
    assert np.all(second.state[stayed][:, 0, load] > 0)


def test_nobody_decides_after_leaving():
    month = population("hidden_states", 300).live(20)
    left = month.dropped_out.argmax(axis=1)
    for person in np.flatnonzero(month.dropped_out.any(axis=1)):
        assert not month.decided[person, left[person] + 1 :].any()
        assert not month.has_next[person, left[person]]


def test_who_pauses_has_no_row_and_comes_back_as_the_same_person():
    people = population("return_harm", 300)
    first, second = people.live(30), people.live(30)
    gap = first.present[:, 0] & ~first.present[:, -1] & first.stays[:, -1]
    assert 0 < gap.sum() < 150
    assert not (first.decided & ~first.present).any() and not (first.has_next & ~first.present).any()
    assert second.present[gap].any(axis=1).all()
    assert not first.has_next[:, :-1][~first.present[:, 1:]].any(), "no next state is known before a pause"


def test_only_newcomers_take_the_place_of_those_who_left():
    people = population("newcomer_harm", 300)
    gone = ~people.live(30).stays[:, -1]
    people.live(1)
    assert 0 < gone.sum() < 150
    assert np.all(people._hidden["age"][gone] == people.world.spec.decisions_per_day)


def test_chosen_people_are_numbered_without_gaps():
    month = population("null", 50).live(3)
    mine = np.arange(50) >= 20
    rows = month.training(mine)
    assert rows.users == 30
    assert np.array_equal(rows.state[rows.person == 0], month.state[20][month.decided[20]])
