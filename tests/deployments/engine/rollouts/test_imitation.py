"""Imitation: how often a version chooses as the app did, and what would have been gained, with what is not known left open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deployments.engine.rollouts.imitation import Imitation, ImitationGain, gain_of, imitation_of
from tests.deployments.engine.rollouts.own_worlds import AT_RANDOM, EFFECT, RULES, lived

ACTIONS = ("wait", "walk")
LARGEST = 2.0


def test_the_share_of_the_apps_choices_has_an_interval_over_people() -> None:
    found = imitation_of(lived("at random"), ACTIONS)
    overall = found.overall.rate
    assert found.overall.people == 200 and overall is not None
    assert overall.low < 0.3 < overall.high and overall.high - overall.low < 0.04
    by_person = imitation_of(lived("by person"), ACTIONS).overall.rate
    assert by_person is not None and by_person.high - by_person.low > 0.1, (
        "200 people are 200, whatever each one repeats"
    )


def test_each_action_has_its_own_share() -> None:
    shares = imitation_of(lived("at random"), ACTIONS).by_action
    assert [share.rate and share.rate.value for share in shares.values()] == [0.0, 1.0]
    wait = shares["wait"].rate
    assert wait is not None and 0.005 < wait.high < 0.03, "of 200 people, none; that does not exclude one in a hundred"


def test_fewer_than_ten_people_are_not_known_and_not_counted() -> None:
    few = lived("at random", people=9)
    assert imitation_of(few, ACTIONS).overall == imitation_of(few, ACTIONS).by_action["walk"]
    assert (imitation_of(few, ACTIONS).overall.people, imitation_of(few, ACTIONS).overall.rate) == (0, None)
    gain = gain_of(few, LARGEST)
    assert gain.people == 0 and "fewer than 10 people" in gain.unknown and gain.low is None


def test_decisions_of_one_person_do_not_stand_for_many() -> None:
    own = lived("at random", people=30)
    one = np.where(np.arange(len(own.person)) < 600, 0, own.person)
    assert imitation_of(replace(own, person=one), ACTIONS).overall.rate is None


@pytest.mark.parametrize("rule", RULES)
def test_what_an_app_with_a_rule_never_tried_stays_between_the_bounds_of_a_reward(rule: str) -> None:
    own = lived(rule)
    gain, agreed = gain_of(own, LARGEST), float((own.action == 1).mean())
    assert (gain.agreed, gain.varied, gain.untried) == pytest.approx((agreed, 0.0, 1 - agreed))
    assert gain.varied_gain is None and gain.low is not None and gain.high is not None
    missing = own.reward[own.action == 0]
    widest = ((-LARGEST - missing).sum() / len(own.reward), (LARGEST - missing).sum() / len(own.reward))
    assert gain.low < widest[0] and widest[1] < gain.high, "the limits are at least as wide as what nobody tried"
    assert (gain.agreed_reward is None) == (rule == "never")


@pytest.mark.parametrize("rule", AT_RANDOM)
def test_the_limits_hold_however_the_app_chose(rule: str) -> None:
    """What it knew beyond the context may have moved its choice, so nothing but the bounds of a reward is certain."""
    own = lived(rule)
    gain, missing = gain_of(own, LARGEST), own.reward[own.action == 0]
    assert gain.low is not None and gain.low < (-LARGEST - missing).sum() / len(own.reward)
    assert gain.high is not None and gain.high > (LARGEST - missing).sum() / len(own.reward)


@pytest.mark.parametrize("rule", AT_RANDOM)
def test_where_an_app_varies_the_gain_is_known(rule: str) -> None:
    """The gain is .3 wherever the app did not take the action. Comparing means would find more for the leaning app."""
    own = lived(rule)
    gain = gain_of(own, LARGEST)
    assert gain.varied_gain is not None and gain.low is not None and gain.high is not None
    assert gain.varied_gain.low < EFFECT < gain.varied_gain.high and gain.varied_gain.low > 0.15
    assert gain.untried < 0.05 and gain.low < EFFECT * (own.action == 0).mean() < gain.high


def test_intervals_hold_what_is_true_as_often_as_they_say() -> None:
    """60 lives of 60 people at 95%: fewer than 51 hits has a probability below 1 in 500."""
    hits = 0
    for seed in range(60):
        found = gain_of(lived("leaning", people=60, each=20, seed=seed), LARGEST).varied_gain
        assert found is not None
        hits += found.low <= EFFECT <= found.high
    assert hits >= 51


def test_a_version_that_always_agrees_would_have_gained_nothing() -> None:
    own = lived("threshold")
    gain = gain_of(replace(own, target=own.action), LARGEST)
    assert (gain.agreed, gain.low, gain.high, gain.untried) == (1.0, 0.0, 0.0, 0.0)


def test_decisions_without_a_reward_count_for_imitation_alone() -> None:
    own = lived("at random")
    silent = replace(own, reward=np.where(own.person < 100, own.reward, np.nan))
    assert gain_of(silent, LARGEST).people == 100 and imitation_of(silent, ACTIONS).overall.people == 200


@pytest.mark.parametrize("rule", ["threshold", "at random"])
def test_what_is_stored_is_read_again(rule: str) -> None:
    own = lived(rule, people=30)
    gain, imitation = gain_of(own, LARGEST), imitation_of(own, ACTIONS)
    assert ImitationGain.from_json(gain.as_json()) == gain
    assert Imitation.from_json(imitation.as_json()) == imitation
