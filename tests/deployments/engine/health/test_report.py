"""States from metrics and comparisons: what is proven counts, what is not is not, and no data is no success."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deployments.engine.health.evidence import Evidence, Latency, LivedWeeks
from deployments.engine.health.report import health_of
from tests.deployments.engine.health.lives import BEFORE, FAST, GOOD, SLOW, Arm, evidence, first_days_of

BAD = Arm(760, 0.50, 0.50, 0.1)


@pytest.mark.parametrize(
    ("ours", "latency", "state", "acts"),
    [
        (GOOD, FAST, "healthy", False),
        (replace(GOOD, empathy=0.60), FAST, "degraded", True),
        (replace(GOOD, harm=0.40), FAST, "degraded", True),
        (replace(GOOD, reward=0.2), FAST, "degraded", False),
        (replace(GOOD, reward=0.9), FAST, "healthy", False),  # better than what served before is no fault
        (GOOD, SLOW, "degraded", False),  # in both arms: whoever serves, the database is slow
        (BAD, FAST, "critical", True),
        (Arm(2, 0.1, 1.0, -1.0), FAST, "healthy", False),  # too few to prove anything
    ],
)
def test_states_count_what_is_proven(ours: Arm, latency: Latency, state: str, acts: bool) -> None:
    health = health_of(evidence([ours] * 2, [BEFORE] * 2, latency=latency))
    assert (health.state, health.must_roll_back) == (state, acts), health
    assert len(health.metrics) == 5 and health.recommendations


def test_no_data_is_no_success() -> None:
    health = health_of(Evidence(LivedWeeks.none(), None, Latency(), 0.05))
    assert {m.verdict for m in health.metrics} == {"too_few"}
    assert any("not enough data yet" in said for said in health.recommendations)
    assert any("held back" in said for said in health.recommendations)
    assert not any("No action is needed" in said for said in health.recommendations)


def test_first_days_alone_are_an_alarm_and_never_critical() -> None:
    """Without another arm: one day of a week may be unlike the others, so three bad metrics of it do not roll back."""
    whole = evidence([BAD] * 2, [], latency=SLOW)
    assert health_of(whole).state == "critical"
    early = health_of(replace(whole, weeks=first_days_of(whole.weeks)))
    assert (early.state, early.must_roll_back) == ("degraded", False)
    assert any("first days" in said for said in early.recommendations)


def test_proven_silence_recommends_a_pause() -> None:
    ours, theirs = Arm(6_000, harm=0.3, answers=0.90, differ=0.01), Arm(6_000, harm=0.3, answers=0.95, differ=0.01)
    health = health_of(evidence([ours] * 4, [theirs] * 4))
    assert not health.must_roll_back and any("pause" in said for said in health.recommendations)


def test_small_proven_harm_is_degraded_and_said() -> None:
    ours, theirs = Arm(4_000, empathy=0.776, differ=0.01), Arm(4_000, empathy=0.8, differ=0.01)
    health = health_of(evidence([ours], [theirs]))
    assert (health.state, health.must_roll_back) == ("degraded", False)
    assert any("too little to roll it back" in said for said in health.recommendations)


def test_an_arm_that_only_waits_is_said() -> None:
    health = health_of(replace(evidence([GOOD], []), other_arm="holdback"))
    assert any("has had no interventions" in said for said in health.recommendations)


def test_what_is_stored_is_plain() -> None:
    stored = health_of(evidence([GOOD], [BEFORE])).as_json()
    assert set(stored["metrics"][0]) == {
        "name", "value", "low", "high", "threshold", "n", "minimum_n", "verdict", "over",
    }  # fmt: skip
    assert set(stored["triggers"][0]) == {"name", "value", "over", "log_evidence", "bar", "proven", "fires"}
    assert all(type(flag) is bool for t in stored["triggers"] for flag in (t["proven"], t["fires"]))


def test_a_healthy_version_is_hardly_ever_taken_back_from_people_who_stay() -> None:
    """60 deployments of 8 weeks with the same 380 people against 20, who differ for good, looked at after four of them. What is
    taken back may be 1% (6 or more: 1e-4), and of three metrics 1% each beyond (10 or more: 1e-4)."""
    taken = beyond = 0
    for seed in range(60):
        whole = evidence([Arm(380, 0.82, 0.07, differ=0.15)] * 8, [Arm(20, 0.82, 0.07, differ=0.15)] * 8, seed=seed)
        looks = []
        for week in (1, 2, 4, 8):
            rows = whole.weeks.week <= week
            weeks = LivedWeeks(
                whole.weeks.week[rows],
                whole.weeks.person[rows],
                whole.weeks.ours[rows],
                whole.weeks.sums[rows],
                1,
                week,
            )
            looks.append(health_of(replace(whole, weeks=weeks)))
        taken += any(look.must_roll_back for look in looks)
        beyond += any(m.verdict == "beyond" for look in looks for m in look.metrics)
    assert taken < 6 and beyond < 10


def test_the_verdict_is_a_function_of_the_evidence() -> None:
    found = evidence([GOOD] * 2, [BEFORE] * 2)
    order = np.random.default_rng(1).permutation(len(found.weeks.week))
    weeks = found.weeks
    mixed = LivedWeeks(weeks.week[order], weeks.person[order], weeks.ours[order], weeks.sums[order], 1, 2)
    assert health_of(replace(found, weeks=mixed)).as_json() == health_of(found).as_json()
