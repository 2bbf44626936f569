"""Clips and the rule of hinges, computed again from the null users they follow from; and who the null users are."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from loops.engine.features import FeatureMap
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import Feature, Head, LoopSpec, MomentsOptions
from privacy.engine.moments import clipping
from privacy.engine.moments.clipping import (
    _clip,
    effect_error,
    hinge_error,
    nominal_decisions,
    pick_hinges,
    public_facts,
)
from privacy.engine.moments.contributions import baseline_contributions, effect_contributions, sub_usable
from privacy.engine.moments.null_population import LoggingPolicy, null_rows
from privacy.engine.moments.release_layout import ReleaseLayout
from tests.factories.planted import planted_spec

SPEC = replace(
    planted_spec(),
    features=(*planted_spec().features, Feature("place", "drift", categories=("home", "work", "away"))),
    heads=(
        Head("policy", ("wait", "ping", "hug"), "wait", (0.5, 0.3, 0.2)),
        Head("tone", ("warm", "calm"), "warm", (0.6, 0.4), when="intervening"),
        Head("length", ("short", "long"), "short", (0.7, 0.3), when="always"),
    ),
)
SAME_DAY = replace(SPEC, imports=replace(SPEC.imports, next_state="next_row_same_day"))
LAYOUT, BY_DAY = ReleaseLayout.of(SPEC, hinges=True), ReleaseLayout.of(SAME_DAY, hinges=True)


@pytest.mark.parametrize(
    ("released", "expected"),
    [(1.0, 8), (11.3, 8), (11.4, 16), (20.0, 16), (22.7, 32), (64.0, 64), (512.0, 512), (5000.0, 512), (-3.0, 8)],
)
def test_decisions_are_rounded_to_a_power_of_two(released: float, expected: int) -> None:
    assert nominal_decisions(SPEC, released) == expected


def test_decisions_are_those_of_14_days_or_as_declared() -> None:
    assert nominal_decisions(SPEC) == 64, "14 days of four"
    assert nominal_decisions(replace(SPEC, moments=MomentsOptions(nominal_decisions=37)), 64.0) == 37


def test_a_clip_is_a_quantile_of_the_norms() -> None:
    """Norms 0, 5, 10, ... 50: the .9 quantile is 45, the .8 quantile 40."""
    block = np.outer(np.arange(11.0), [3.0, 4.0])
    for name in ("gram", "targets", "shares", "shares_of_heads"):
        assert _clip(name, block) == pytest.approx(45.0)
    assert _clip("effects", block) == pytest.approx(40.0)
    assert _clip("variances", block) == pytest.approx(45.0 * 1.25)
    assert _clip("effects_tone", block) == pytest.approx(40.0)


def test_where_most_people_contribute_nothing_the_clip_is_the_largest_norm() -> None:
    block = np.zeros((20, 2))
    block[0] = [3.0, 4.0]
    assert _clip("effects", block) == 5.0
    assert _clip("effects", np.zeros((20, 2))) == 0.0


@pytest.mark.parametrize("layout", [LAYOUT, BY_DAY], ids=["across days", "within days"])
@pytest.mark.parametrize("explored", [1.0, 0.5])
def test_public_facts_are_those_of_null_users(layout: ReleaseLayout, explored: float) -> None:
    rows = null_rows(layout.spec, decisions=5, logged=LoggingPolicy(explored))
    people, phi = rows.users, layout.phi.phi(rows.state)
    facts = public_facts(layout, 5, explored)
    gram, targets = baseline_contributions(layout, rows, 0.0)
    effects = effect_contributions(layout, rows, 0.0, np.zeros((layout.phi.width, len(layout.targets))))
    for name, block in {"gram": gram, "targets": targets, **effects}.items():
        assert facts.clips[name] == pytest.approx(_clip(name, block)), name
    assert facts.clips["counts"] == 1.5
    usable = {"effects": rows.explored} | {f"effects_{h}": sub_usable(rows, h) for h in layout.subs}
    for name, used in usable.items():
        counts = np.array([used[rows.person == who].sum() for who in range(people)])
        # The mean weight min(1, usable / 8), relative to what all rows would have: 5 of 8.
        assert facts.weights[name] == pytest.approx(np.minimum(1, counts / 8).mean() / (5 / 8)), name
        assert facts.rows[name] == pytest.approx(used.sum() / people), name
    np.testing.assert_allclose(facts.gram, phi.T @ phi / len(phi), atol=1e-12)
    plain = FeatureMap.of(layout.spec, True).phi(rows.state)
    np.testing.assert_allclose(facts.plain_gram, plain.T @ plain / len(plain), atol=1e-12)


def test_the_gram_is_a_mean_over_people_of_full_weight_too() -> None:
    """With 32 decision points everybody has full weight."""
    rows = null_rows(SPEC, decisions=32)
    phi = LAYOUT.phi.phi(rows.state)
    np.testing.assert_allclose(public_facts(LAYOUT, 32).gram, phi.T @ phi / len(phi), atol=1e-12)


def test_where_nobody_explores_clips_are_those_of_full_logging() -> None:
    none, full = public_facts(LAYOUT, 8, 0.0), public_facts(LAYOUT, 8)
    for name in ("effects", "effects_tone", "effects_length", "shares", "shares_of_heads"):
        assert none.clips[name] == full.clips[name] > 0
    assert none.weights["effects"] == none.rows["effects"] == 1e-3, "and as good as nobody is behind the effects"


def test_declared_clips_come_first_and_other_facts_differ_by_what_they_depend_on() -> None:
    declared = replace(SPEC, moments=MomentsOptions(clips={"gram": 7.0}))
    facts = public_facts(ReleaseLayout.of(declared, hinges=True), 8)
    assert facts.clips["gram"] == 7.0 and facts.clips["targets"] == public_facts(LAYOUT, 8).clips["targets"]
    assert public_facts(LAYOUT, 8) is public_facts(ReleaseLayout.of(SPEC, hinges=True), 8)
    others = (public_facts(LAYOUT, 9), public_facts(LAYOUT, 8, 0.9), public_facts(LAYOUT.linear(), 8))
    assert all(other is not public_facts(LAYOUT, 8) for other in others)
    assert clipping._Key(LAYOUT, 8, 1.0) != "a layout"


def test_the_error_of_an_effect_is_that_of_least_squares() -> None:
    """V^-1 of .3 and .2 is diag(1/p) + 1/.5; an effect is V^-1 times an entry, over the gram."""
    facts = public_facts(LAYOUT, 16)
    inverse = np.array([[1 / 0.3 + 2.0, 2.0], [2.0, 1 / 0.2 + 2.0]])
    square = (np.hypot(*inverse[0]) ** 2 + np.hypot(*inverse[1]) ** 2) / 2
    expected = math.sqrt(square * 0.01 * np.trace(np.linalg.inv(facts.plain_gram)))
    assert effect_error(LAYOUT, facts, 0.01) == pytest.approx(expected)
    entries = 2 * LAYOUT.phi.width * 2  # alternatives x features x targets
    for people, counted in ((50.0, 50.0), (0.2, 1.0)):
        variance = 0.3**2 + facts.clips["effects"] ** 2 / (entries * counted)
        assert hinge_error(LAYOUT, facts, 0.3, people) == pytest.approx(effect_error(LAYOUT, facts, variance))


def test_hinges_are_carried_up_to_an_error_of_a_fifth() -> None:
    """The number of people at which the error is .2 follows from the formula: the noise is C sigma / (sqrt(share) people)."""
    spec = replace(planted_spec(features=None))
    layout = ReleaseLayout.of(spec, hinges=True)
    for sigma, explored in ((None, 1.0), (3.0, 1.0), (3.0, 0.4)):
        facts = public_facts(layout, 32, explored)
        clip, entries = facts.clips["effects"], layout.phi.width * 2
        unit = effect_error(layout, facts, 1.0)

        def error(users: float) -> float:
            people = users * facts.weights["effects"]  # noqa: B023
            noise = 0.0 if sigma is None else clip * sigma / (math.sqrt(0.504) * people)  # noqa: B023
            return unit * math.sqrt(noise**2 + clip**2 / (entries * people))  # noqa: B023

        low, high = 1.0, 1e6
        for _ in range(100):
            low, high = ((low + high) / 2, high) if error((low + high) / 2) > 0.2 else (low, (low + high) / 2)
        assert not pick_hinges(spec, users=low * 0.999, decisions=32, sigma=sigma, explored_share=explored)
        assert pick_hinges(spec, users=high * 1.001, decisions=32, sigma=sigma, explored_share=explored)


@pytest.mark.parametrize(
    ("decisions", "people", "steps"), [(1, 400, 2), (8, 400, 8), (100, 400, 100), (200, 200, 200), (800, 100, 800)]
)
def test_there_are_up_to_400_null_users_and_some_40000_rows(decisions: int, people: int, steps: int) -> None:
    rows = null_rows(planted_spec(), decisions=decisions)
    assert rows.users == people and np.bincount(rows.person).tolist() == [steps] * people


ROWS = null_rows(SPEC, decisions=32)


def test_null_users_walk_inside_their_bounds() -> None:
    """Steps have the declared scale, and are reflected at the bounds: nothing stays at one."""
    for i, (low, high) in ((0, (-1.0, 1.0)), (1, (0.0, 1.0))):
        values, after = ROWS.state[:, i], ROWS.next_state[:, i]
        assert values.min() >= low and values.max() <= high
        assert np.mean((after == low) | (after == high)) < 1e-3
        middle = np.abs(values - (low + high) / 2) < 0.1 * (high - low)
        step = (after - values)[middle]
        assert step.std() == pytest.approx(0.2, rel=0.1 if i == 0 else 0.15) and abs(step.mean()) < 0.02
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.05 * (high - low)), "uniform, as they began"
        assert values.std() == pytest.approx((high - low) / math.sqrt(12), rel=0.05)


def test_a_category_stays_or_is_drawn_again() -> None:
    """.8 + .2 / 3 of the steps keep it; the categories are equally frequent."""
    stayed = (ROWS.state[:, 2] == ROWS.next_state[:, 2]).mean()
    assert stayed == pytest.approx(0.8 + 0.2 / 3, abs=0.02)
    assert np.bincount(ROWS.state[:, 2].astype(int)) / len(ROWS.state) == pytest.approx([1 / 3] * 3, abs=0.03)


def test_null_users_are_logged_as_declared() -> None:
    n = len(ROWS.action)
    assert np.bincount(ROWS.action) / n == pytest.approx([0.5, 0.3, 0.2], abs=0.02)
    np.testing.assert_array_equal(ROWS.propensity, np.array([0.5, 0.3, 0.2])[ROWS.action])
    assert ROWS.explored.all() and not ROWS.dropped_out.any()
    assert ROWS.reward.mean() == pytest.approx(0.0, abs=0.04) and ROWS.reward.std() == pytest.approx(1.0, rel=0.03)
    wide = null_rows(replace(SPEC, reward=replace(SPEC.reward, scale=5.0)), decisions=32)
    np.testing.assert_allclose(wide.reward, ROWS.reward * 5.0)


def test_sub_heads_choose_where_they_have_a_choice() -> None:
    tone, length = ROWS.subs["tone"], ROWS.subs["length"]
    np.testing.assert_array_equal(tone.action >= 0, ROWS.action != 0)
    np.testing.assert_array_equal(tone.explored, ROWS.action != 0)
    assert (length.action >= 0).all() and length.explored.all()
    assert (length.action == 1).mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_array_equal(length.propensity, np.array([0.7, 0.3])[length.action])
    spoken = tone.action >= 0
    np.testing.assert_array_equal(tone.propensity[spoken], np.array([0.6, 0.4])[tone.action[spoken]])


@pytest.mark.parametrize(("spec", "share"), [(SPEC, 1.0), (SAME_DAY, 0.75)], ids=["across days", "within days"])
def test_the_last_decision_of_a_day_has_no_next_state_within_it(spec: LoopSpec, share: float) -> None:
    rows = null_rows(spec, decisions=32)
    assert rows.has_next.mean() == share
    if share < 1.0:
        assert rows.has_next[:8].tolist() == [True, True, True, False] * 2


def test_what_was_served_has_its_marginal_propensity() -> None:
    """A policy that always hugs, .3 explored: hugging has .3 x .2 + .7, the others .3 of their logging probability."""
    hugs = LinearPolicy(FeatureMap.of(SPEC, False), np.vstack([np.zeros(5), np.zeros(5), [5.0, 0, 0, 0, 0]]), 0.0, 0)
    rows = null_rows(SPEC, decisions=32, logged=LoggingPolicy(0.3, hugs))
    assert rows.explored.mean() == pytest.approx(0.3, abs=0.02)
    assert (rows.action[~rows.explored] == 2).all()
    assert np.bincount(rows.action[rows.explored]) / rows.explored.sum() == pytest.approx([0.5, 0.3, 0.2], abs=0.03)
    np.testing.assert_allclose(rows.propensity, np.array([0.15, 0.09, 0.06 + 0.7])[rows.action])
    spoken = rows.subs["tone"].action >= 0
    np.testing.assert_array_equal(rows.subs["tone"].explored, rows.explored & spoken)


def test_known_features_of_null_users_move_by_what_they_did() -> None:
    """Time since an intervention starts again after one, and grows by its step otherwise."""
    gap = Feature("gap", "since_intervention", bounds=(0.0, 1.0), step=0.25)
    spec = replace(SPEC, features=(*SPEC.features[:2], gap))
    rows = null_rows(spec, decisions=16)
    spoke = rows.action != 0
    assert (rows.next_state[spoke, 2] < 0.3).all()
    silent = ~spoke & (rows.state[:, 2] < 0.7)
    np.testing.assert_allclose((rows.next_state - rows.state)[silent, 2], 0.25)
