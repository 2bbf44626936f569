"""Remember when the tasks that people depend on last finished, and say which are late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.functions import Now
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from core.durations import CLOCK_TOLERANCE
from jobs.leases import from_now
from jobs.models import PeriodicRun

_INTERVALS = 3  # that may pass, beside the grace, before a task is late
_GRACE = timedelta(minutes=2)
_NOTED_AGAIN = 10.0  # seconds; a run is not noted again before that


@dataclass(frozen=True)
class LateRun:
    """A watched task that has not finished for too long. ``reason`` says for how long, or that it is switched off."""

    task: str
    title: str
    finished_at: datetime
    reason: str


def run_watch(*, task: str, title: str) -> None:
    """Watch a task from now on. A second call changes nothing but the title."""
    run, is_new = PeriodicRun.objects.get_or_create(task=task, defaults={"title": title, "finished_at": timezone.now()})
    if not is_new and run.title != title:
        PeriodicRun.objects.filter(pk=task).update(title=title)


def run_finished(task: str) -> None:
    """Note that a task finished without an exception, once in a while. Tasks that nobody watches are ignored.

    It looks before it writes, because every write waits for SQLite's one lock. A time in the future is overwritten.
    """
    outdated = Q(finished_at__lt=from_now(-_NOTED_AGAIN)) | Q(finished_at__gt=from_now(_NOTED_AGAIN))
    noted = PeriodicRun.objects.filter(outdated, pk=task)
    if noted.exists():
        noted.update(finished_at=Now())


def runs_late() -> list[LateRun]:
    """Return the watched tasks that are late, or whose schedule is switched off or deleted. One query."""
    schedules = PeriodicTask.objects.filter(task=OuterRef("task"), enabled=True).order_by("pk")
    runs = PeriodicRun.objects.order_by("task").annotate(
        scheduled=Exists(schedules),
        every=Subquery(schedules.values("interval__every")[:1]),
        period=Subquery(schedules.values("interval__period")[:1]),
    )
    rows = runs.values_list("task", "title", "finished_at", "scheduled", "every", "period")
    judged = [(*row[:3], _reason(*row[2:])) for row in rows]
    return [LateRun(*row) for row in judged if row[-1]]


def _reason(finished_at: datetime, scheduled: bool, count: int | None, period: str | None) -> str:
    if not scheduled:
        return "its schedule is switched off"
    if count is None or period is None:  # an operator chose times of the day instead
        return ""
    every = timedelta(**{period: count})
    age = timezone.now() - finished_at
    if age < -CLOCK_TOLERANCE:
        return "its last run is noted in the future: the clock was set back, and it has not run since"
    if age <= every * _INTERVALS + _GRACE:
        return ""
    return f"it last finished {age.total_seconds() / 60:,.0f} minutes ago, and is due every {every.total_seconds():g} seconds"
