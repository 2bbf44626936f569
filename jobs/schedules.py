"""The schedules beat works by: rows that operators may edit in the admin, so they are added once and never overwritten."""

from __future__ import annotations

from dataclasses import dataclass

from celery import current_app
from django.db import transaction

from jobs.queues import MONITOR


@dataclass(frozen=True)
class Schedule:
    """A task that beat sends every so many seconds."""

    task: str
    seconds: int
    queue: str


_SCHEDULES: dict[str, Schedule] = {}


def schedule(name: str, *, task: str, seconds: int, queue: str = MONITOR) -> None:
    """Register a schedule; called by an app's tasks.py. ``name`` is what operators see, and must stay."""
    _SCHEDULES[name] = Schedule(task, seconds, queue)


@transaction.atomic
def schedules_sync() -> int:
    """Add the schedules that are missing; whatever an operator changed or disabled stays. Returns how many were added."""
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    current_app.loader.import_default_modules()
    added = 0
    for name, wanted in _SCHEDULES.items():
        # An expired run is dropped: after a pause of the workers one run is enough.
        defaults = {"task": wanted.task, "queue": wanted.queue, "expire_seconds": wanted.seconds * 4}
        if PeriodicTask.objects.filter(name=name).exists():
            continue
        every = IntervalSchedule.objects.filter(every=wanted.seconds, period=IntervalSchedule.SECONDS).first()
        every = every or IntervalSchedule.objects.create(every=wanted.seconds, period=IntervalSchedule.SECONDS)
        _, new = PeriodicTask.objects.get_or_create(name=name, defaults=defaults | {"interval": every})
        added += new
    return added
