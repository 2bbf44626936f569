"""States and triggers from evidence: what is proven counts, what is not is not."""

from __future__ import annotations

import numpy as np
import pytest

from core.arrays import Floats
from deployments.engine.evidence.cohort_series import CohortSeries
from deployments.engine.evidence.e_process import PairedBlocks
from deployments.engine.health import EMPTY, Arm, Evidence, Holdback, Latency, Metric, health_of


def arm(n: int, empathy: float, harm: float, reward: float, seed: int) -> Arm:
    """n people around given means, with the spread of real ratings."""
    rng = np.random.default_rng(seed)
    ratings, harmed = np.clip(rng.normal(empathy, 0.15, n), 0, 1), (rng.random(n) < harm).astype(float)
    return Arm(CohortSeries(ratings), CohortSeries(harmed), CohortSeries(rng.normal(reward, 0.1, n)))


def held(arm: Arm, slow: tuple[CohortSeries, CohortSeries] | None = None) -> Holdback:
    return Holdback(arm, PairedBlocks(19, 1), slow)


def minutes(n: int, share: float, starts: tuple[int, ...] = (0,)) -> CohortSeries:
    """n minutes in each of which the same share of requests took more than 250 ms."""
    return CohortSeries(np.full(n, share), starts=starts)


GOOD, SLOW = arm(400, 0.85, 0.04, 0.5, 1), Latency(10_000, 2_000, minutes(60, 0.2))
FAST = Latency(10_000, 5, minutes(60, 0.0005))
BEFORE = held(arm(60, 0.85, 0.04, 0.5, 2))


@pytest.mark.parametrize(
    ("ours", "latency", "state", "acts"),
    [
        (GOOD, FAST, "healthy", False),
        (arm(800, 0.60, 0.04, 0.5, 3), FAST, "degraded", True),  # empathy has dropped by a quarter against the holdback
        (arm(1_200, 0.85, 0.40, 0.5, 4), FAST, "degraded", True),
        (arm(400, 0.85, 0.04, 0.2, 5), FAST, "degraded", False),
        (arm(400, 0.85, 0.04, 0.9, 5), FAST, "healthy", False),  # better than what served before is no fault
        (GOOD, SLOW, "degraded", False),  # in both arms: whoever serves, the database is slow
        (arm(400, 0.50, 0.50, 0.1, 6), FAST, "critical", True),
        (arm(6, 0.10, 1.00, -1.0, 7), FAST, "healthy", False),  # too few to prove anything
    ],
)
def test_states_count_what_is_proven(ours: Arm, latency: Latency, state: str, acts: bool) -> None:
    health = health_of(Evidence(ours, BEFORE, latency, 0.05))
    assert (health.state, health.must_roll_back) == (state, acts), health
    assert len(health.metrics) == 4 and health.recommendations


def test_no_data_is_no_success() -> None:
    health = health_of(Evidence(Arm(), None, Latency(), 0.05))
    assert health.state == "healthy" and {m.verdict for m in health.metrics} == {"too_few"}
    assert any("not enough data yet" in said for said in health.recommendations)
    assert any("held back" in said for said in health.recommendations)


def lasting(weeks: list[Floats]) -> CohortSeries:
    """The same people in each week."""
    n = len(weeks[0])
    starts = tuple(range(0, n * len(weeks), n))
    return CohortSeries(np.concatenate(weeks), np.tile(np.arange(n), len(weeks)), starts, closed=max(0, len(weeks) - 2))


def stability(evidence: Evidence) -> Metric:
    return next(m for m in health_of(evidence).metrics if m.name == "reward_stability")


@pytest.mark.parametrize(("later", "verdict"), [(0.2, "beyond"), (0.8, "ok"), (0.5, "ok")])
def test_without_a_holdback_reward_is_compared_with_its_own_beginning(later: float, verdict: str) -> None:
    """200 people who differ from each other by .2, in the first week and in a later one."""
    rng = np.random.default_rng(3)
    people = 0.2 * rng.normal(size=200)
    reward = lasting([mean + people + 0.01 * rng.normal(size=200) for mean in (0.5, later)])
    found = stability(Evidence(Arm(GOOD.empathy, GOOD.false_intervention, reward), None, FAST, 0.05))
    assert (found.verdict, found.n) == (verdict, 200) and found.value == pytest.approx(later - 0.5, abs=0.01)


def test_a_first_week_has_nothing_to_be_compared_with() -> None:
    found = stability(Evidence(GOOD, None, FAST, 0.05))
    assert (found.verdict, found.value, found.low, found.high) == ("too_few", None, None, None)


@pytest.mark.parametrize(
    ("ours", "theirs", "fires"),
    [
        (minutes(30, 0.6), minutes(30, 0.0), True),
        (minutes(30, 0.6), minutes(30, 0.6), False),  # an incident of the database is in both arms
        (minutes(2_000, 0.0), minutes(2_000, 0.0), False),
        (minutes(4, 0.6), minutes(4, 0.0), False),  # too few minutes to prove it
    ],
)
def test_latency_is_compared_minute_by_minute(ours: CohortSeries, theirs: CohortSeries, fires: bool) -> None:
    health = health_of(Evidence(GOOD, held(BEFORE.arm, (ours, theirs)), FAST, 0.05))
    trigger = next(t for t in health.triggers if t.name == "latency_over_250_ms")
    assert trigger.fires is fires and health.must_roll_back is fires


def test_a_late_fault_is_seen_because_bets_begin_anew() -> None:
    """Four good days without a slow minute, then an hour in which two of five requests are slow."""
    days = (0, 1_440, 2_880, 4_320, 5_760)
    slow = np.r_[np.zeros(5_760), np.full(60, 0.4)]
    for starts, fires in ((days, True), ((0,), False)):
        arms = CohortSeries(slow, starts=starts), minutes(5_820, 0.0, starts)
        health = health_of(Evidence(GOOD, held(BEFORE.arm, arms), FAST, 0.05))
        assert health.must_roll_back is fires


def test_a_holdback_that_only_waits_is_no_comparison() -> None:
    silent = Arm(EMPTY, EMPTY, BEFORE.arm.reward)
    health = health_of(Evidence(arm(400, 0.30, 0.60, 0.5, 3), held(silent), FAST, 0.05))
    assert health.state == "degraded" and not health.must_roll_back
    assert any("has had no interventions" in said for said in health.recommendations)


def test_what_is_stored_is_plain() -> None:
    stored = health_of(Evidence(GOOD, BEFORE, FAST, 0.05)).as_json()
    assert set(stored["metrics"][0]) == {"name", "value", "low", "high", "threshold", "n", "minimum_n", "verdict"}
    assert {t["name"] for t in stored["triggers"]} == {"empathy_drop", "false_intervention_rise"}


def test_a_bad_hour_is_proven_in_it_however_long_all_was_well() -> None:
    """After a month, twenty good minutes of an hour, then a third of the requests are slow; it is proven within half an hour."""
    for slow, verdict in ((5, "ok"), (30, "beyond")):
        shares = np.r_[np.zeros(80), np.full(slow, 0.33)]
        latency = Latency(20 * len(shares), round(20 * shares.sum()), CohortSeries(shares, starts=(0, 60), first=720))
        found = health_of(Evidence(GOOD, None, latency, 0.05)).metrics[2]
        assert found.verdict == verdict and found.value is not None and found.value < 0.2


def test_five_people_are_five_however_often_they_come() -> None:
    """Four weeks of five people whom everything annoys: twenty values, and too few people."""
    few = Arm(lasting([np.full(5, 0.1)] * 4), lasting([np.ones(5)] * 4), lasting([np.zeros(5)] * 4))
    health = health_of(Evidence(few, None, FAST, 0.05))
    assert [(m.n, m.verdict) for m in health.metrics[:2]] == [(5, "too_few")] * 2


def test_a_fault_is_measured_where_it_is_proven() -> None:
    """Ten good weeks of 800 people, then one in which empathy is .45: over all weeks no tenth is lost, in that one half is."""
    rng = np.random.default_rng(5)

    def people(n: int, last: float) -> CohortSeries:
        return lasting([np.clip(rng.normal(mean, 0.1, n), 0, 1) for mean in [0.85] * 10 + [last]])

    ours, theirs = people(760, 0.45), people(40, 0.85)
    assert ours.mean is not None and ours.mean > 0.8
    evidence = Evidence(Arm(ours, GOOD.false_intervention, GOOD.reward), held(Arm(theirs)), FAST, 0.05)
    drop = health_of(evidence).triggers[0]
    assert drop.fires and drop.value == pytest.approx(0.47, abs=0.05)


def test_rare_bad_rewards_of_people_who_last_are_no_instability() -> None:
    """200 deployments of the same 380 people against 20, one in five of whom always gets -1 and the others 0: such twenty are all
    alike in 1 of 90. Beyond may be 1%; 10 or more have probability 1e-4.
    """
    beyond = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        ours, theirs = (-(rng.random(n) < 0.2).astype(float) for n in (380, 20))
        arms = [Arm(reward=lasting([rng.normal(people, 0.1) for _ in range(8)])) for people in (ours, theirs)]
        beyond += stability(Evidence(arms[0], held(arms[1]), FAST, 0.05)).verdict == "beyond"
    assert beyond < 10


def test_a_healthy_version_is_hardly_ever_taken_back() -> None:
    """300 deployments with good people, one look at the end. Each metric and trigger may err in 1%; 15 or more: probability 1e-3
    at the bound of five such."""
    taken = sum(
        health_of(
            Evidence(arm(200, 0.85, 0.05, 0.5, 10 + i), held(arm(12, 0.85, 0.05, 0.5, 5_000 + i)), FAST, 0.05)
        ).must_roll_back
        for i in range(300)
    )
    assert taken < 15


def test_a_healthy_version_is_hardly_ever_taken_back_from_people_who_last() -> None:
    """100 deployments of 13 weeks with the same 380 people against 20, who differ for good in all three metrics, looked at at the
    ends of five weeks. What is taken back may be 1% (7 or more: 1e-4), and of three metrics 1% each beyond (12 or more: 1e-4).
    """
    taken = beyond = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        arms = [_weeks_of_the_same(rng, n, 13) for n in (380, 20)]
        looks = []
        for weeks in (1, 2, 4, 8, 13):
            ours, theirs = (Arm(*(lasting(metric[:weeks]) for metric in arm)) for arm in arms)
            looks.append(health_of(Evidence(ours, held(theirs), FAST, 0.05)))
        taken += any(look.must_roll_back for look in looks)
        beyond += any(m.verdict == "beyond" for look in looks for m in look.metrics)
    assert taken < 7 and beyond < 12


def _weeks_of_the_same(rng: np.random.Generator, n: int, weeks: int) -> list[list[Floats]]:
    """Empathy about .8, a share of .08 harmful, reward .5: each person's own mean, and each week's value around it."""
    empathy, harm, reward = (np.clip(rng.normal(m, s, n), 0, 1) for m, s in ((0.8, 0.1), (0.08, 0.1), (0.5, 0.25)))
    return [
        [np.clip(rng.normal(empathy, 0.15), 0, 1) for _ in range(weeks)],
        [rng.binomial(2, harm) / 2 for _ in range(weeks)],
        [rng.normal(reward, 0.1) for _ in range(weeks)],
    ]


def test_what_nobody_dismissed_before_has_no_ratio() -> None:
    """A holdback without a false intervention: worse by .02 of the people has to be proven, and is, when a third dismisses it."""
    spotless = held(Arm(BEFORE.arm.empathy, CohortSeries(np.zeros(60)), BEFORE.arm.reward))
    for harm, fires in ((0.35, True), (0.02, False)):
        health = health_of(Evidence(arm(800, 0.85, harm, 0.5, 9), spotless, FAST, 0.05))
        assert next(t for t in health.triggers if t.name == "false_intervention_rise").fires is fires
