"""A canary walked through lived weeks: the same verdicts as in life, until one ends it."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.engine.health.evidence import LIVED_COLUMNS, LivedWeeks
from deployments.engine.rollouts.dry_run import canary_dry_run
from deployments.engine.rollouts.staged import CanaryTerms

WORDS = 4.0


def lived(people: int, weeks: range, *, empathy: tuple[float, float] = (0.8, 0.8), share: float = 0.5) -> LivedWeeks:
    """Everybody lives these weeks in one arm. Each pair says what the candidate's people live, and the others'."""
    rng = np.random.default_rng(3)
    week = np.repeat(np.array(weeks), people)
    person = np.tile(np.arange(people), len(weeks))
    ours = person < share * people
    felt = np.clip(np.where(ours, *empathy) + 0.1 * rng.normal(size=len(week)), 0, 1)
    columns = dict.fromkeys(LIVED_COLUMNS, np.full(len(week), WORDS)) | {
        "empathy_sum": WORDS * felt, "harmful": np.zeros(len(week)),
        "reward_sum": WORDS * (0.1 + 0.1 * rng.normal(size=len(week))),
    }  # fmt: skip
    sums = np.stack([columns[name] for name in LIVED_COLUMNS], axis=1)
    return LivedWeeks(week, person, ours, sums, first=1, closed=max(weeks, default=0))


def steps(terms: CanaryTerms, weeks: LivedWeeks) -> list[str]:
    return [at.verdict.step for at in canary_dry_run(terms, weeks, margin=0.1)]


def test_a_good_version_goes_on_by_the_terms_that_are_tried() -> None:
    weeks = lived(1_000, range(1, 6))
    assert steps(CanaryTerms(stages=(0.1, 0.5)), weeks) == ["wait", "advance", "wait", "promote"]
    assert steps(CanaryTerms(stages=(0.5,), dwell_weeks=3), weeks) == ["wait", "wait", "promote"]


def test_harm_ends_it_in_the_week_that_proves_it() -> None:
    walk = canary_dry_run(CanaryTerms(), lived(2_000, range(1, 6), empathy=(0.4, 0.8)), margin=0.1)
    assert [at.verdict.step for at in walk] == ["roll_back"] and walk[0].week == 1


def test_a_stage_of_few_people_is_extended_and_then_ends() -> None:
    walk = canary_dry_run(CanaryTerms(dwell_weeks=1, extensions=1), lived(10, range(1, 6)), margin=0.1)
    assert [at.verdict.step for at in walk] == ["extend", "end"] and [at.extended for at in walk] == [0, 1]


def test_weeks_that_run_out_leave_it_in_progress() -> None:
    assert steps(CanaryTerms(dwell_weeks=9), lived(1_000, range(1, 4))) == ["wait"] * 3


def test_weeks_in_which_people_changed_their_arm_are_not_counted() -> None:
    weeks = lived(1_000, range(1, 6))
    kept = weeks.week != 2
    gap = LivedWeeks(weeks.week[kept], weeks.person[kept], weeks.ours[kept], weeks.sums[kept], 1, 5, (1, 3))
    walk = canary_dry_run(CanaryTerms(dwell_weeks=2), gap, margin=0.1)
    assert [(at.week, at.closed_weeks) for at in walk[:2]] == [(1, 1), (3, 2)]


@pytest.mark.parametrize("weeks", [LivedWeeks.none()])
def test_nothing_lived_is_no_verdict(weeks: LivedWeeks) -> None:
    assert canary_dry_run(CanaryTerms(), weeks, margin=0.1) == []
