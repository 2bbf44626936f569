"""Beat sends what is due also after the machine's clock was set back, and notices changes again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from jobs import beat_scheduler
from jobs.beat_scheduler import ClockProofScheduler
from jobs.schedules import schedules_sync
from r3al_project.celery import app

pytestmark = pytest.mark.django_db(transaction=True)  # beat closes its transaction before it looks for changes
STEP = timedelta(hours=25)


@pytest.fixture(autouse=True)
def schedules() -> Iterator[None]:
    schedules_sync()
    yield
    PeriodicTask.objects.all().delete()


class Beat(ClockProofScheduler):
    """A scheduler that notes what it would send."""

    def __init__(self) -> None:
        super().__init__(app=app)
        self._finalize.cancel()  # it would write when the tests have ended
        self.sent: list[str] = []

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        self.sent.append(entry.task)

    def ticks(self) -> list[str]:
        """What is sent at once, until the next task has to wait."""
        self.sent.clear()
        for _ in range(200):
            if self.tick() > 0:
                break
        return sorted(self.sent)


def ran(at: Any) -> None:
    PeriodicTask.objects.update(last_run_at=at)


def tasks() -> list[str]:
    """All of an interval; Celery's own cleaning waits for its time of the day."""
    return sorted(PeriodicTask.objects.filter(interval__isnull=False).values_list("task", flat=True))


def test_what_ran_a_moment_ago_waits() -> None:
    ran(timezone.now())
    assert Beat().ticks() == []


def test_a_last_run_in_the_future_is_no_evidence_of_one() -> None:
    """At a start, too: the stored times are of the clock that was ahead."""
    ran(timezone.now() + STEP)
    beat = Beat()
    assert beat.ticks() == tasks()
    assert beat.ticks() == []
    beat.sync()
    assert not PeriodicTask.objects.filter(last_run_at__gt=timezone.now()).exists()


def test_a_time_of_the_day_is_waited_for_from_now() -> None:
    yesterday = timezone.now() - timedelta(days=1) - timedelta(minutes=5)
    noon = CrontabSchedule.objects.create(hour=str((timezone.now().hour + 1) % 24), minute="0")
    PeriodicTask.objects.exclude(task="jobs.reconcile").delete()
    PeriodicTask.objects.update(interval=None, crontab=noon, last_run_at=timezone.now() + STEP)
    beat = Beat()
    assert beat.ticks() == []
    entry = next(entry for entry in beat.schedule.values() if entry.task == "jobs.reconcile")
    assert yesterday < entry.last_run_at <= timezone.now()


class Clock:
    """The machine's clock as beat reads it to learn that it was set."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return 1e9 + self.ahead

    def monotonic(self) -> float:
        return 1e6


def test_a_beat_that_runs_on_neither_waits_nor_starves_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its order of next runs is of the clock that was ahead, so the first task of it would be sent for ever and no other."""
    clock = Clock()
    monkeypatch.setattr(beat_scheduler, "time", clock)
    ran(timezone.now())
    beat = Beat()
    assert beat.ticks() == []
    ordered: list[Any] = beat._heap  # type: ignore[assignment]  # the stubs know it before the first tick alone
    ordered[:] = [event._replace(time=event.time + STEP.total_seconds()) for event in ordered]
    for entry in beat.schedule.values():
        entry.last_run_at = entry.model.last_run_at = timezone.now() + STEP
    ran(timezone.now() + STEP)
    assert beat.ticks() == [], "the clock is still ahead"
    clock.ahead -= STEP.total_seconds()
    assert beat.ticks() == tasks()


def test_what_an_operator_changes_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(beat_scheduler, "time", clock)
    beat = Beat()
    beat.ticks()
    beat._last_timestamp = timezone.now() + STEP  # a change that was stored by the clock that was ahead
    hourly = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    PeriodicTask.objects.filter(task="jobs.reconcile").update(interval=hourly)
    clock.ahead -= STEP.total_seconds()
    beat.ticks()
    found = next(entry for entry in beat.schedule.values() if entry.task == "jobs.reconcile")
    assert found.schedule.run_every == timedelta(hours=1)


def test_beat_runs_it() -> None:
    assert app.conf.beat_scheduler == "jobs.beat_scheduler:ClockProofScheduler"
