"""What people depend on every minute is watched: a run that ended well counts, and one that is missing is said."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from jobs.models import PeriodicRun
from jobs.periodic_runs import run_finished, runs_late
from jobs.schedules import schedules_sync
from jobs.tasks import expire_answers
from privacy.tasks import close_outcomes

pytestmark = pytest.mark.django_db
HEALTH = "deployments.health"


@pytest.fixture(autouse=True)
def scheduled() -> None:
    schedules_sync()


def finished(task: str, *, minutes_ago: float) -> None:
    PeriodicRun.objects.filter(pk=task).update(finished_at=timezone.now() - timedelta(minutes=minutes_ago))


def late() -> dict[str, str]:
    return {run.title: run.reason for run in runs_late()}


def test_what_protects_people_is_watched_from_the_start() -> None:
    watched = {run.title for run in PeriodicRun.objects.all()}
    assert late() == {} and watched == {
        "health checks", "rollouts", "closing outcomes", "sealing decisions", "telling operators",
    }  # fmt: skip


def test_a_run_that_is_missing_is_late_after_three_intervals_and_two_minutes() -> None:
    finished(HEALTH, minutes_ago=4.9)
    assert late() == {}
    finished(HEALTH, minutes_ago=7)
    assert late() == {"health checks": "it last finished 7 minutes ago, and is due every 60 seconds"}
    run_finished(HEALTH)
    assert late() == {}


def test_an_operators_interval_counts() -> None:
    hourly = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    PeriodicTask.objects.filter(task=HEALTH).update(interval=hourly)
    finished(HEALTH, minutes_ago=60)
    assert late() == {}


@pytest.mark.parametrize("deleted", [False, True])
def test_a_schedule_that_is_switched_off_is_said(deleted: bool) -> None:
    schedule = PeriodicTask.objects.filter(task=HEALTH)
    schedule.delete() if deleted else schedule.update(enabled=False)
    assert late() == {"health checks": "its schedule is switched off"}


def test_only_a_run_without_an_error_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    finished("privacy.close_outcomes", minutes_ago=60)

    def breaks() -> None:
        raise RuntimeError

    monkeypatch.setattr("privacy.tasks.outcomes_close", breaks)
    close_outcomes.apply()
    assert set(late()) == {"closing outcomes"}
    monkeypatch.undo()
    close_outcomes.apply()
    assert late() == {}


def test_what_nobody_watches_leaves_no_row() -> None:
    before = PeriodicRun.objects.count()
    expire_answers.apply()
    assert PeriodicRun.objects.count() == before


def test_a_run_in_the_future_is_no_evidence_of_one() -> None:
    """The clock was 25 hours ahead for a minute."""
    finished(HEALTH, minutes_ago=-25 * 60)
    assert late() == {
        "health checks": "its last run is noted in the future: the clock was set back, and it has not run since"
    }
    run_finished(HEALTH)
    assert late() == {} and PeriodicRun.objects.get(pk=HEALTH).finished_at <= timezone.now() + timedelta(seconds=1)


def test_clocks_of_two_machines_may_differ_a_little() -> None:
    finished(HEALTH, minutes_ago=-1.5)
    assert late() == {}


def test_watching_again_changes_no_time() -> None:
    finished(HEALTH, minutes_ago=60)
    schedules_sync()
    assert set(late()) == {"health checks"}
