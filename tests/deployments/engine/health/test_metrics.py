"""Metrics against their thresholds: proven counts, too few is not good, and a value stands for the time that it names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deployments.engine.evidence.slow_minutes import MinuteShares
from deployments.engine.health.evidence import Evidence, Latency, LivedWeeks
from deployments.engine.health.metrics import Metric, metrics_of
from loops.engine.spec import Silence
from tests.deployments.engine.health.lives import BEFORE, FAST, GOOD, Arm, evidence, first_days_of

NAME = "false_intervention"


def metric(found: Evidence, name: str) -> Metric:
    return next(m for m in metrics_of(found) if m.name == name)


def test_what_lies_beyond_is_proven_and_what_does_not_is_ok() -> None:
    bad = replace(GOOD, empathy=0.6, harm=0.3)
    for arm, verdict in ((GOOD, "ok"), (bad, "beyond")):
        for name in ("empathy", "false_intervention"):
            found = metric(evidence([arm] * 2, [BEFORE] * 2), name)
            assert (found.verdict, found.n, found.over) == (verdict, 760, "weeks")
            assert found.low is not None and found.value is not None and found.high is not None
            assert found.low < found.value < found.high


def test_five_people_are_five_however_often_they_come() -> None:
    found = evidence([Arm(5, empathy=0.1, harm=1.0)] * 4, [])
    assert [(m.n, m.verdict) for m in metrics_of(found)[:2]] == [(5, "too_few")] * 2


@pytest.mark.parametrize(("people", "shown"), [(1, False), (9, False), (10, True)])
def test_a_mean_of_fewer_than_ten_people_is_shown_to_nobody(people: int, shown: bool) -> None:
    """Whoever sees the mean of one person sees that person's outcomes."""
    found = evidence([Arm(people, empathy=0.1, harm=0.5)] * 4, [Arm(people, empathy=0.2, harm=0.4)] * 4)
    for name in ("empathy", "false_intervention", "answered", "reward_stability"):
        told = metric(found, name)
        assert (told.value is not None) is shown, name
        assert shown or (told.low, told.high) == (None, None), name
    assert metric(found, "latency").value is not None, "requests are no outcomes"


def test_the_difference_of_a_few_newcomers_is_shown_to_nobody() -> None:
    """Twelve people of each arm in the first week, and three more of each in the second, who got far less than the others."""
    people = np.r_[np.arange(24), np.arange(24), 100:106]
    week, ours = np.r_[np.ones(24, int), np.full(30, 2)], np.r_[np.tile(np.arange(24) < 12, 2), np.arange(6) < 3]
    reward = np.r_[np.random.default_rng(1).normal(0.5, 0.1, 48), np.repeat([-0.9, 0.9], 3)]
    sums = np.zeros((54, 7))
    sums[:, 5], sums[:, 6] = 1.0, reward
    everybody = LivedWeeks(week, people, ours, sums, 1, 2)
    first = LivedWeeks(week[:24], people[:24], ours[:24], sums[:24], 1, 1)
    found = metric(Evidence(everybody, "holdback", FAST, 0.05), "reward_stability")
    of_many = metric(Evidence(first, "holdback", FAST, 0.05), "reward_stability")
    assert found.value is not None and of_many.value is not None and found.value > -0.7, "not that of the three"
    assert found.n == 15


def test_bounds_come_from_no_test_of_a_few_newcomers() -> None:
    """Three people who come in the second week and are all harmed move the share of all 23, and no bound of it."""
    week, person = np.r_[np.ones(20, int), np.full(3, 2)], np.arange(23)
    sums = np.ones((23, 7)) * np.array([1.0, 1.0, 0.0, 1.0, 0.8, 1.0, 0.5])
    calm = Evidence(LivedWeeks(week, person, np.ones(23, bool), sums.copy(), 1, 2), None, FAST, 0.05)
    sums[20:, 2] = 1.0
    harmed = Evidence(LivedWeeks(week, person, np.ones(23, bool), sums, 1, 2), None, FAST, 0.05)
    whole = metric(
        Evidence(LivedWeeks(np.ones(23, int), person, np.ones(23, bool), sums, 1, 1), None, FAST, 0.05), NAME
    )
    assert metric(calm, NAME).value == 0.0 and metric(harmed, NAME).value == pytest.approx(3 / 23)
    assert (metric(harmed, NAME).low or 0.0) <= (whole.low or 0.0)


@pytest.mark.parametrize(("requests", "shown"), [(1, False), (199, False), (200, True)])
def test_latency_of_too_few_requests_has_no_value(requests: int, shown: bool) -> None:
    latency = Latency(requests, 1, MinuteShares(np.full(10, 1 / requests)))
    told = metric(evidence([GOOD], [], latency=latency), "latency")
    assert (told.value is not None, told.low is not None, told.high is not None) == (shown,) * 3
    assert told.verdict == ("ok" if shown else "too_few")


def test_harm_on_one_weekday_of_seven_is_shown_in_its_true_size() -> None:
    """Seven interventions a week, of which the one on the weekday of the deployment is dismissed by everybody. On their first day
    that is all that people know, and the metric says so. Once the week is closed it is a seventh."""
    week = LivedWeeks(
        np.ones(300, dtype=int), np.arange(300), np.ones(300, dtype=bool),
        np.tile([7.0, 7.0, 1.0, 7.0, 6.0, 7.0, 1.0], (300, 1)), closed=1,
    )  # fmt: skip
    day = replace(first_days_of(week), sums=np.tile([1.0, 1.0, 1.0, 1.0, 0.1, 1.0, 0.0], (300, 1)))
    early = metric(Evidence(day, None, FAST, 0.05), "false_intervention")
    assert (early.value, early.over, early.verdict, early.counts) == (1.0, "first day", "beyond", False)
    known = metric(Evidence(week, None, FAST, 0.05), "false_intervention")
    assert known.value == pytest.approx(1 / 7) and (known.over, known.verdict) == ("weeks", "beyond")


def test_harm_on_six_weekdays_of_seven_is_six_sevenths() -> None:
    week = LivedWeeks(
        np.ones(300, dtype=int), np.arange(300), np.ones(300, dtype=bool),
        np.tile([7.0, 7.0, 6.0, 7.0, 1.0, 7.0, 1.0], (300, 1)), closed=1,
    )  # fmt: skip
    found = metric(Evidence(week, None, FAST, 0.05), "false_intervention")
    assert found.value == pytest.approx(6 / 7) and found.verdict == "beyond"


def test_who_says_nothing_is_not_counted_as_content() -> None:
    """True harm .30, of which a third is reported: shown among those who answer, with the share that does."""
    silent = Arm(2_000, harm=0.30, answers=0.5, reports=0.15)
    found = evidence([silent] * 2, [])
    assert metric(found, "answered").value == pytest.approx(0.7 * 0.5 + 0.3 * 0.15, abs=0.02)
    shown = metric(found, "false_intervention").value
    assert shown is not None and shown > 0.045 * 1.5, "more than among all interventions"
    declared: dict[Silence, float] = {"harmless": 0.3 * 0.15, "harmful": 1 - 0.7 * 0.5}
    for silence, share in declared.items():
        said = replace(found, silence=silence)
        assert metric(said, "false_intervention").value == pytest.approx(share, abs=0.02)
    nobody = evidence([replace(GOOD, answers=0.0)] * 2, [])
    assert metric(nobody, "false_intervention").verdict == "too_few"
    assert metric(nobody, "answered").value == 0.0


@pytest.mark.parametrize(("later", "verdict"), [(0.2, "beyond"), (0.8, "ok"), (0.5, "ok")])
def test_without_another_arm_reward_is_compared_with_its_own_beginning(later: float, verdict: str) -> None:
    """200 people who differ from each other by .2, in the first week and in a later one."""
    arm = Arm(200, differ=0.2)
    found = metric(evidence([arm, replace(arm, reward=later)], []), "reward_stability")
    assert (found.verdict, found.n) == (verdict, 200) and found.value == pytest.approx(later - 0.5, abs=0.03)


def test_a_first_week_has_nothing_to_be_compared_with() -> None:
    found = metric(evidence([GOOD], []), "reward_stability")
    assert (found.verdict, found.value, found.low, found.high) == ("too_few", None, None, None)


def test_a_lower_reward_than_the_other_arms_is_beyond_and_a_higher_one_is_not() -> None:
    for reward, verdict in ((0.1, "beyond"), (0.9, "ok"), (0.5, "ok")):
        found = metric(evidence([replace(GOOD, reward=reward)], [BEFORE]), "reward_stability")
        assert found.verdict == verdict and found.value == pytest.approx(reward - 0.5, abs=0.05)


def test_a_bad_hour_is_proven_in_it_however_long_all_was_well() -> None:
    """After a month, twenty good minutes of an hour, then a third of the requests are slow; it is proven within half an hour."""
    for slow, verdict in ((5, "ok"), (30, "beyond")):
        shares = np.r_[np.zeros(80), np.full(slow, 0.33)]
        latency = Latency(20 * len(shares), round(20 * shares.sum()), MinuteShares(shares, (0, 60), 720))
        found = metric(evidence([GOOD], [], latency=latency), "latency")
        assert found.verdict == verdict and found.value is not None and found.value < 0.2


def test_rare_bad_rewards_of_people_who_stay_are_no_instability() -> None:
    """200 deployments of the same 380 people against 20, one in five of whom always gets -1 and the others 0: such twenty are all
    alike in 1 of 90. Beyond may be 1%; 10 or more have probability 1e-4."""
    beyond = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        unlucky = -(rng.random(400) < 0.2).astype(float)
        week, person = np.repeat(np.arange(1, 9), 400), np.tile(np.arange(400), 8)
        sums = np.zeros((len(week), 7))
        sums[:, 5], sums[:, 6] = 1.0, rng.normal(unlucky[person], 0.1)
        found = Evidence(LivedWeeks(week, person, person < 380, sums, 1, 8), "holdback", FAST, 0.05)
        beyond += metric(found, "reward_stability").verdict == "beyond"
    assert beyond < 10


def test_the_bounds_of_a_difference_lie_equally_far_on_both_sides_of_it() -> None:
    """400 people who got less against 400: a lower bound above the difference would call a fall certain that is not."""
    found = metric(evidence([Arm(400, reward=0.3)], [Arm(400)]), "reward_stability")
    assert found.low is not None and found.value is not None and found.high is not None
    assert found.low < found.value < found.high
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_before_anybody_came_nothing_is_known_of_a_first_day() -> None:
    found = metric(Evidence(LivedWeeks.none(), None, FAST, 0.05), "empathy")
    assert (found.value, found.n, found.verdict, found.over) == (None, 0, "too_few", "first day")
