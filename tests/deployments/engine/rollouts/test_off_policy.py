"""Off-policy values: drawn actions tell what a policy would have earned, and too few of them tell nothing."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.engine.rollouts.off_policy import DrawnDecisions, OffPolicyValue, off_policy_value

LOGGING = np.array([0.5, 0.25, 0.25])


def drawn(people: int, each: int, worth: tuple[float, float, float], *, target: int = 2, rival: int = 0, seed: int = 1):
    """Decisions whose actions were drawn by LOGGING, each worth what its action is worth, with noise by person and decision."""
    rng = np.random.default_rng(seed)
    n = people * each
    person, action = np.repeat(np.arange(people), each), rng.choice(3, size=n, p=LOGGING)
    reward = np.array(worth)[action] + 0.2 * rng.normal(size=people)[person] + 0.2 * rng.normal(size=n)
    return DrawnDecisions(person, action, np.full(n, target), np.full(n, rival), LOGGING[action], reward)


def test_the_value_and_the_gain_are_those_of_the_planted_actions() -> None:
    value = off_policy_value(drawn(400, 20, (0.1, 0.0, 0.4)))
    assert value.unknown == "" and value.people == 400
    assert value.value == pytest.approx(0.4, abs=0.03) and value.gain == pytest.approx(0.3, abs=0.05)
    assert value.gain_low is not None and 0 < value.gain_low < 0.3 < (value.gain_high or 0)
    assert "400 people" in value.sentence and "against the stable version" in value.sentence


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """95% intervals in 200 worlds of 40 people: fewer than 20 misses, which a true 95% exceeds once in 500 runs."""
    misses = [0, 0]
    for seed in range(200):
        found = off_policy_value(drawn(40, 10, (0.1, 0.0, 0.4), seed=seed))
        assert found.value_low is not None and found.value_high is not None
        assert found.gain_low is not None and found.gain_high is not None
        misses[0] += not found.value_low <= 0.4 <= found.value_high
        misses[1] += not found.gain_low <= 0.3 <= found.gain_high
    assert max(misses) < 20


def test_the_same_policy_gains_exactly_nothing() -> None:
    value = off_policy_value(drawn(50, 10, (0.1, 0.0, 0.4), target=1, rival=1))
    assert (value.gain, value.gain_low, value.gain_high) == (0.0, 0.0, 0.0) and value.value is not None


def test_fewer_than_ten_people_are_not_known() -> None:
    value = off_policy_value(drawn(9, 50, (0.1, 0.0, 0.4)))
    assert value == OffPolicyValue(9, "fewer than 10 people have a drawn decision with a reward")
    assert value.value is None and "not known" in value.sentence
    assert off_policy_value(drawn(0, 0, (0.1, 0.0, 0.4))).people == 0


def test_too_little_overlap_is_not_known() -> None:
    few = drawn(40, 1, (0.1, 0.0, 0.4))
    ours = np.flatnonzero(few.action == 2)[:5]
    never = np.where(np.isin(np.arange(40), ours), 2, 1 - np.minimum(few.action, 1))
    value = off_policy_value(DrawnDecisions(few.person, few.action, never, few.rival, few.propensity, few.reward))
    assert value.value is None and "candidate would choose" in value.unknown


def test_an_estimate_is_read_back_from_what_is_stored() -> None:
    for value in (off_policy_value(drawn(60, 5, (0.1, 0.0, 0.4))), OffPolicyValue(3, "why")):
        assert OffPolicyValue.from_json(value.as_json()) == value
