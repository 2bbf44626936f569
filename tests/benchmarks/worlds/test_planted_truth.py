"""Each planted world is what it says: keeping the reference is the right answer, for the reason that it names."""

import numpy as np
import pytest

from benchmarks.worlds.newcomer_harm import NEW_POINTS, newcomer_harm_world
from benchmarks.worlds.night_harm import NIGHT, night_harm_world
from benchmarks.worlds.population import Population
from benchmarks.worlds.registry import OUTWEIGHED, world_named
from benchmarks.worlds.return_harm import return_harm_world
from benchmarks.worlds.search import best_policy
from benchmarks.worlds.truth import truth_of
from loops.engine.features import FeatureMap
from loops.engine.policies.linear import LinearPolicy
from tests.benchmarks.worlds.test_population import always

PARTS_OF_LIFE = ("night_harm", "newcomer_harm", "return_harm", "return_driven")


def log(name: str, people: int = 1_000, days: int = 5):
    return Population(world_named(name), people, np.random.default_rng(5)).live(days)


def random_policies(world, count: int) -> list[LinearPolicy]:
    rng, phi = np.random.default_rng(1), FeatureMap.of(world.spec, True)
    shape = (len(world.spec.main_head.actions), phi.width)
    drawn = rng.normal(size=(count, *shape))
    drawn[:, 0] = 0.0
    return [LinearPolicy(phi, weights, margin, 0) for weights in drawn for margin in (0.0, 2.0)]


@pytest.mark.parametrize("name", ["null", "never_tried", "never_logged", "never_logged_no_column", "rarely_logged"])
def test_no_action_changes_anything(name):
    world = world_named(name)
    reference = truth_of(world, None, people=300, days=10).value
    for action in range(1, len(world.spec.main_head.actions)):
        assert truth_of(world, always(world, action), people=300, days=10).value == pytest.approx(reference, abs=1e-12)


def test_the_trap_pays_at_once():
    month = log("trap", 4_000)
    spoken, reward = month.action[:, 0] != 0, month.reward[:, 0] / 0.5
    assert reward[spoken].mean() - reward[~spoken].mean() > 0.1


@pytest.mark.parametrize(("days", "loss"), [(30, 0.02), (60, 0.2)])
def test_every_policy_of_the_trap_that_intervenes_is_worse_in_the_long_run(days, loss):
    world = world_named("trap")
    reference = truth_of(world, None, people=400, days=days).value
    tried = [always(world, 1), always(world, 2), *random_policies(world, 12), *needy(world)]
    for policy in tried:
        truth = truth_of(world, policy, people=400, days=days)
        assert truth.value <= reference - loss * truth.intervened


def needy(world) -> list[LinearPolicy]:
    """Policies that push only where the need is high and pushing pays most."""
    phi = FeatureMap.of(world.spec, False)
    weights = np.zeros((3, phi.width))
    weights[1, phi.columns_of("need")[0]] = 1.0
    return [LinearPolicy(phi, weights, margin, 0) for margin in (0.3, 0.6, 0.8)]


def test_a_never_tried_action_is_in_no_row_and_waiting_was_certain():
    rows = log("never_tried").training()
    assert np.all(rows.action == 0)
    assert np.all(rows.propensity == 1.0)


def test_a_never_logged_action_is_declared_and_in_no_row():
    for name, propensities in (("never_logged", {0.5}), ("never_logged_no_column", {0.4, 0.3})):
        rows = log(name).training()
        assert world_named(name).spec.main_head.logging[2] == pytest.approx(0.3)
        assert not np.any(rows.action == 2)
        assert set(np.round(rows.propensity, 6)) == propensities


def test_a_rarely_logged_action_has_its_true_propensity():
    rows = log("rarely_logged").training()
    assert np.mean(rows.action == 2) == pytest.approx(0.002, abs=0.001)
    assert np.unique(rows.propensity[rows.action == 2]) == pytest.approx([0.002])
    assert np.unique(rows.propensity[rows.action < 2]) == pytest.approx([0.499])


@pytest.mark.parametrize("percent", [2, 5, 10])
def test_an_intervention_hurts_few_by_ten_scales_and_the_population_by_a_tenth(percent):
    world = world_named(f"few_hurt_{percent}")
    reference, pinged = (truth_of(world, p, people=1_000, days=10) for p in (None, always(world, 1)))
    gains = pinged.per_person - reference.per_person
    assert gains.mean() == pytest.approx(-0.10, abs=0.005)
    assert np.mean(gains < -9.9) == pytest.approx(percent / 100)
    assert np.all(gains[gains > -9.9] > 0.09)


@pytest.mark.parametrize("name", ["dismissers", "silent_harm", "silent_harm_benign"])
def test_every_policy_has_too_many_false_interventions_though_it_pays(name):
    world = world_named(name)
    reference = truth_of(world, None, people=500, days=20).value
    for policy in [always(world, 1), *random_policies(world, 4)]:
        truth = truth_of(world, policy, people=500, days=20)
        if truth.intervened > 0.05:
            assert truth.false_intervention > 0.11
            assert truth.value > reference


def test_twelve_in_a_hundred_dismiss_everything():
    month = log("dismissers")
    spoken = month.decided & (month.action != 0)
    share = (month.harmed & spoken).sum(axis=1) / np.maximum(spoken.sum(axis=1), 1)
    assert np.mean(share == 1.0) == pytest.approx(0.12, abs=0.005)


@pytest.mark.parametrize(("name", "benign", "shown"), [("silent_harm", 0.0, 0.079), ("silent_harm_benign", 0.3, 0.109)])
def test_most_of_the_harmed_are_silent(name, benign, shown):
    month = log(name)
    spoken = month.decided & (month.action != 0)
    harmed, others = spoken & month.harmed, spoken & ~month.harmed
    assert month.harmed[spoken].mean() == pytest.approx(0.30, abs=0.01)
    assert np.mean(month.harmful[harmed] == -1) == pytest.approx(0.80, abs=0.01)
    assert np.mean(month.harmful[others] == -1) == pytest.approx(benign, abs=0.01)
    assert np.mean(month.harmful[spoken][month.harmful[spoken] >= 0]) == pytest.approx(shown, abs=0.01)


def test_wrong_propensities_are_those_of_pinging_and_their_inverse_is_off():
    rows = log("wrong_propensities").training()
    assert set(np.round(rows.propensity, 6)) == {0.2, 0.8}
    pinged = rows.propensity[rows.action == 1]
    assert np.mean(pinged == 0.8) == pytest.approx(0.8, abs=0.03)
    assert np.mean((rows.action == 0) / rows.propensity) > 1.5


def test_wrong_propensities_make_a_harmful_action_look_good():
    world, rows = world_named("wrong_propensities"), log("wrong_propensities").training()
    naive = [np.average(rows.reward, weights=(rows.action == a) / rows.propensity) for a in (0, 1)]
    truth = [truth_of(world, p, people=300, days=10).value for p in (None, always(world, 1))]
    assert naive[1] > naive[0] + 0.1
    assert truth[1] < truth[0] - 0.05


@pytest.mark.parametrize(
    ("name", "gain", "false_intervention"),
    [("near_linear", 0.11, 0.06), ("hidden_states", 0.12, 0.06), ("sign_flips", 0.11, 0.09)],
)
def test_each_family_has_a_better_policy_that_every_bar_admits(name, gain, false_intervention):
    world = world_named(name)
    best, reference = truth_of(world, best_policy(world)), truth_of(world, None)
    assert best.value - reference.value > gain
    assert best.false_intervention < false_intervention
    assert best.empathy > 0.80
    assert 0.6 < best.answered < 0.98


def test_full_logging_costs_people_in_the_sign_flips_family():
    world = world_named("sign_flips")
    assert truth_of(world, None, exploration=1.0).value < truth_of(world, None).value - 0.1


@pytest.mark.parametrize("name", [*PARTS_OF_LIFE, *OUTWEIGHED])
def test_where_a_part_of_life_is_hurt_the_mean_of_the_log_speaks_for_messages(name):
    month = log(name, 4_000, days=30)
    weight = np.where(month.action == 1, 2.0, -2.0) * month.decided
    gains = (weight * month.reward / 0.5).sum(axis=1) / np.maximum(month.decided.sum(axis=1), 1)
    assert gains.mean() > 0.08


@pytest.mark.parametrize("name", PARTS_OF_LIFE)
def test_where_a_part_of_life_is_hurt_the_population_loses_by_every_policy_that_speaks(name):
    world = world_named(name)
    reference = truth_of(world, None, people=2_000).value
    for policy in [always(world, 1), *random_policies(world, 2)]:
        truth = truth_of(world, policy, people=2_000)
        if truth.intervened > 0.3:
            assert truth.value < reference - 0.02 * truth.intervened


@pytest.mark.parametrize(
    ("name", "loses", "share", "by"),
    [
        ("night_harm", 0.98, 0.90, 0.10),
        ("newcomer_harm", 0.12, 0.10, 0.9),
        ("return_harm", 0.28, 0.10, 1.0),
        ("return_driven", 0.40, 0.10, 0.5),
    ],
)
def test_where_a_part_of_life_is_hurt_people_are_hurt(name, loses, share, by):
    """How many lose at all, and which share of the people loses how much in every decision."""
    gains = gains_of_people(name)
    assert np.mean(gains < 0) > loses
    assert np.quantile(gains, share) < -by


@pytest.mark.parametrize("name", OUTWEIGHED)
def test_where_the_hurt_is_outweighed_the_population_gains_and_nobody_loses_much(name):
    gains = gains_of_people(name)
    assert gains.mean() > 0.1
    assert gains.min() > -0.2
    assert np.mean(gains < 0) < 0.12


def gains_of_people(name: str) -> np.ndarray:
    """What each person gains a decision over two months, where every decision speaks. Chance is the same in both lives."""
    world = world_named(name)
    reference, spoken = (truth_of(world, policy, people=1_000).per_person for policy in (None, always(world, 1)))
    return spoken - reference


@pytest.mark.parametrize(
    ("world", "hidden", "hurt", "others"),
    [
        (night_harm_world(), "hour", NIGHT, NIGHT - 1),
        (newcomer_harm_world(), "age", 0, NEW_POINTS),
        (return_harm_world(), "back", 1, 0),
    ],
)
def test_only_the_stated_part_of_life_is_hurt(world, hidden, hurt, others):
    people = world.begin(50, np.random.default_rng(1))
    state, message = np.zeros((50, len(world.spec.features))), np.ones(50, dtype=np.int64)
    for value, sign in ((hurt, -1), (others, 1)):
        people[hidden] = np.full(50, float(value))
        assert np.all(np.sign(world.effect(people, state, message) - world.effect(people, state, 0 * message)) == sign)
