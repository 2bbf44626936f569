"""What takes a version back: proven harm that is large enough, silence that may hide it, and in a trial any proof."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deployments.engine.evidence.slow_minutes import SlowMinutes
from deployments.engine.health.evidence import ArmKind, Evidence, LivedWeeks
from deployments.engine.health.triggers import (
    EMPATHY_DROPPED,
    FALSE_INTERVENTIONS_ROSE,
    NEAR_NOTHING,
    SILENCE_GREW,
    Trigger,
    triggers_of,
)
from loops.engine.spec import Silence
from tests.deployments.engine.health.lives import BEFORE, FAST, GOOD, Arm, evidence, first_days_of


def trigger(found: Evidence, name: str) -> Trigger:
    return next(t for t in triggers_of(found) if t.name == name)


def fired(found: Evidence) -> set[str]:
    return {t.name for t in triggers_of(found) if t.fires}


@pytest.mark.parametrize("kind", ["holdback", "trial"])
def test_two_arms_alike_take_nothing_back(kind: ArmKind) -> None:
    found = triggers_of(evidence([GOOD] * 4, [BEFORE] * 4, kind=kind))
    assert not any(t.proven for t in found)
    assert [t.name for t in found] == ["empathy_drop", "false_intervention_rise", "silence"]


def test_harm_is_measured_over_the_people_and_the_time_that_prove_it() -> None:
    """Ten good weeks, then one in which empathy is .45: over all weeks no tenth is lost, in that one half is."""
    found = evidence([*[GOOD] * 10, replace(GOOD, empathy=0.45)], [BEFORE] * 11)
    drop = trigger(found, "empathy_drop")
    assert drop.fires and drop.over == "1 week" and drop.value == pytest.approx(0.47, abs=0.05)


def test_more_false_interventions_take_a_version_back() -> None:
    found = evidence([replace(GOOD, harm=0.3)] * 2, [BEFORE] * 2)
    assert fired(found) >= {"false_intervention_rise"} and trigger(found, "false_intervention_rise").value > 0.25  # type: ignore[operator]


def test_a_small_proven_harm_is_said_but_takes_nothing_back_except_in_a_trial() -> None:
    """Empathy lower by 3%, proven with many people who hardly differ."""
    ours, theirs = Arm(4_000, empathy=0.776, differ=0.01), Arm(4_000, empathy=0.8, differ=0.01)
    for kind, fires in (("holdback", False), ("trial", True)):
        drop = trigger(evidence([ours], [theirs], kind=kind), "empathy_drop")  # type: ignore[arg-type]
        assert drop.proven and drop.fires is fires and drop.value == pytest.approx(0.03, abs=0.01)


def test_gross_harm_is_seen_in_first_days_before_a_week_is_closed() -> None:
    whole = evidence([replace(GOOD, empathy=0.2, harm=0.9)], [BEFORE])
    drop = trigger(replace(whole, weeks=first_days_of(whole.weeks)), "empathy_drop")
    assert drop.fires and drop.over == "first day"


def test_harm_that_a_third_reports_is_found_by_silence() -> None:
    """Truly .30 against .08; the harmed hardly ever say so, so that less harm is shown than before."""
    ours = Arm(950, harm=0.30, reports=0.1)
    found = evidence([ours] * 4, [Arm(50, harm=0.08)] * 4)
    assert "silence" in fired(found) and "false_intervention_rise" not in fired(found)
    assert trigger(found, "silence").value == pytest.approx(0.24, abs=0.06)


def test_fewer_answers_in_both_arms_are_no_silence_of_the_version() -> None:
    weeks = [0.9, 0.5, 0.5, 0.5]
    found = evidence([replace(GOOD, answers=a) for a in weeks], [replace(BEFORE, answers=a) for a in weeks])
    assert not trigger(found, "silence").proven


@pytest.mark.parametrize("silence", ["harmless", "harmful"])
def test_where_the_loop_says_what_silence_means_it_is_no_trigger(silence: Silence) -> None:
    found = replace(evidence([GOOD], [BEFORE]), silence=silence)
    assert {t.name for t in triggers_of(found)} == {"empathy_drop", "false_intervention_rise"}


def test_silence_that_could_hide_little_is_said_and_takes_nothing_back() -> None:
    """Answers fall by a twentieth where three in ten are harmed: proven, but even as harm it is less than half more."""
    ours, theirs = Arm(6_000, harm=0.3, answers=0.90, differ=0.01), Arm(6_000, harm=0.3, answers=0.95, differ=0.01)
    silence = trigger(evidence([ours] * 4, [theirs] * 4), "silence")
    assert silence.proven and not silence.fires


@pytest.mark.parametrize(("not_good", "hides"), [(NEAR_NOTHING, False), (1.01 * NEAR_NOTHING, True)])
def test_the_least_harm_that_counts_must_be_passed(not_good: float, hides: bool) -> None:
    """Everybody answers in both arms, and nobody of the other is harmed."""
    assert SILENCE_GREW.size(np.array([[1.0, not_good]]), np.array([[1.0, 0.0]])) == (0.0, hides)


@pytest.mark.parametrize(
    ("ours", "theirs", "fires"),
    [(0.6, 0.0, True), (0.6, 0.6, False), (0.0, 0.0, False)],
)
def test_latency_is_compared_minute_by_minute(ours: float, theirs: float, fires: bool) -> None:
    counts = (np.full(60, 19.0), np.full(60, 19 * ours), np.full(60, 1.0), np.full(60, theirs))
    found = replace(evidence([GOOD], [BEFORE]), slow_minutes=SlowMinutes(*counts))
    assert ("latency_over_250_ms" in fired(found)) is fires


def test_a_late_fault_of_latency_is_seen_because_tests_begin_anew() -> None:
    """Four good days without a slow minute, then an hour in which two of five requests are slow."""
    days, slow = (0, 1_440, 2_880, 4_320, 5_760), np.r_[np.zeros(5_760), np.full(60, 7.6)]
    for starts, fires in ((days, True), ((0,), False)):
        minutes = SlowMinutes(np.full(5_820, 19.0), slow, np.full(5_820, 1.0), np.zeros(5_820), starts)
        found = replace(evidence([GOOD], [BEFORE]), slow_minutes=minutes)
        assert ("latency_over_250_ms" in fired(found)) is fires


def test_next_to_nothing_before_has_no_ratio() -> None:
    """An other arm without a false intervention: it has to be worse by .02 of the people, and is, when a third is dismissed."""
    for harm, fires in ((0.35, True), (0.0, False)):
        found = trigger(
            evidence([replace(GOOD, harm=harm, differ=0.0)], [replace(BEFORE, harm=0.0, differ=0.0)]),
            "false_intervention_rise",
        )
        assert found.fires is fires and found.value is None


def test_an_arm_that_only_waits_is_no_comparison() -> None:
    alone = evidence([replace(GOOD, empathy=0.3, harm=0.6)], [])
    found = triggers_of(replace(alone, other_arm="holdback"))
    assert not any(t.proven or t.value is not None for t in found)


@pytest.mark.parametrize(("people", "shown"), [(9, False), (10, True)])
def test_a_difference_of_fewer_than_ten_people_is_shown_to_nobody(people: int, shown: bool) -> None:
    found = triggers_of(evidence([Arm(people, empathy=0.1, harm=0.5)] * 4, [Arm(people, empathy=0.2, harm=0.4)] * 4))
    told = [t.value is not None for t in found if t.name in ("empathy_drop", "false_intervention_rise")]
    assert told == [shown, shown]
    assert all(t.log_evidence in (0.0, t.bar) for t in found if t.value is None), (
        "evidence of few tells about each of them"
    )


@pytest.mark.parametrize(("people", "shown"), [(2, False), (9, False), (10, True)])
def test_weeks_of_the_same_few_people_are_not_many_people(people: int, shown: bool) -> None:
    """As many people in each arm, who come in each of six weeks of a rotating holdback."""
    week, person = np.repeat(np.arange(1, 7), 2 * people), np.tile(np.arange(2 * people), 6)
    sums = np.ones((len(week), 7)) * np.array([1.0, 1.0, 0.0, 1.0, 0.8, 1.0, 0.5])
    lived = LivedWeeks(week, person, person < people, sums, 1, 6)
    drop = trigger(Evidence(lived, "rotating", FAST, 0.05), "empathy_drop")
    assert (drop.value is not None) is shown and (shown or drop.log_evidence == 0.0)


@pytest.mark.parametrize(("minutes", "shown"), [(1, False), (199, False), (200, True)])
def test_a_difference_of_few_requests_is_shown_to_nobody(minutes: int, shown: bool) -> None:
    slow = SlowMinutes(np.full(minutes, 19.0), np.ones(minutes), np.ones(minutes), np.zeros(minutes))
    told = trigger(replace(evidence([GOOD], [BEFORE]), slow_minutes=slow), "latency_over_250_ms")
    assert (told.value is not None) is shown


def rotated(rng: np.random.Generator, weeks: int, fault: float, onset: int = 1) -> LivedWeeks:
    """1,000 people of whom 5% are held back anew each week, seven interventions each."""
    own, week, person = (
        rng.beta(1.2, 13.8, 1_000),
        np.repeat(np.arange(1, weeks + 1), 1_000),
        np.tile(np.arange(1_000), weeks),
    )
    ours = rng.random(len(week)) < 0.95
    harm = rng.binomial(7, np.clip(own[person] * np.where(ours & (week >= onset), fault, 1.0), 0, 1))
    seven = np.full(len(week), 7.0)
    sums = np.stack([seven, seven, harm, seven, seven * 0.8, seven, seven * 0.5], axis=1)
    return LivedWeeks(week, person, ours, sums, 1, weeks)


def test_a_rotating_holdback_gathers_evidence_over_weeks() -> None:
    """Twice the false interventions: found in most of twenty runs of four weeks, and hardly ever where nothing differs."""
    rng = np.random.default_rng(3)
    found = [
        sum(
            fired(Evidence(rotated(rng, 4, fault), "rotating", FAST, 0.05)) >= {"false_intervention_rise"}
            for _ in range(20)
        )
        for fault in (2.0, 1.0)
    ]
    assert found[0] >= 15 and found[1] == 0


def test_a_late_fault_under_rotation_is_measured_from_its_beginning() -> None:
    late = rotated(np.random.default_rng(4), 12, 3.0, onset=9)
    rise = trigger(Evidence(late, "rotating", FAST, 0.05), "false_intervention_rise")
    assert rise.fires and rise.value is not None and rise.value > 1.0


def test_the_condition_on_size_is_a_twentieth_of_empathy_and_a_quarter_of_false_interventions() -> None:
    for metric, now, before, large in (
        (EMPATHY_DROPPED, 0.75, 0.8, True), (EMPATHY_DROPPED, 0.77, 0.8, False),
        (FALSE_INTERVENTIONS_ROSE, 0.13, 0.1, True), (FALSE_INTERVENTIONS_ROSE, 0.12, 0.1, False),
    ):  # fmt: skip
        assert metric.size(np.full((9, 1), now), np.full((9, 1), before))[1] is large
