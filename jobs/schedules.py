"""Register Celery beat's schedules. Operators may edit the rows in the admin, so each is added once and never overwritten."""

from __future__ import annotations

from dataclasses import dataclass

from celery import current_app
from django.db import transaction

from jobs.periodic_runs import run_watch
from jobs.queues import MONITOR


@dataclass(frozen=True)
class Schedule:
    """Define a task that Celery beat sends every ``seconds`` seconds."""

    task: str
    seconds: int
    queue: str
    watched_as: str = ""


_SCHEDULES: dict[str, Schedule] = {}


def schedule(name: str, *, task: str, seconds: int, queue: str = MONITOR, watched_as: str = "") -> None:
    """Register a schedule from an app's tasks.py. ``name`` identifies its row in the database and must not change.

    Args: watched_as: the title under which operators hear that the task is late. Without one nobody hears of it.
    """
    _SCHEDULES[name] = Schedule(task, seconds, queue, watched_as)


@transaction.atomic
def schedules_sync() -> int:
    """Add the missing schedules. Schedules that an operator changed or disabled stay as they are.

    Returns: the number of added schedules.
    """
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    current_app.loader.import_default_modules()
    added = 0
    for name, declared in _SCHEDULES.items():
        if declared.watched_as:
            run_watch(task=declared.task, title=declared.watched_as)
        # Expired runs are dropped, because one run is enough after a pause of the workers.
        defaults = {"task": declared.task, "queue": declared.queue, "expire_seconds": declared.seconds * 4}
        if PeriodicTask.objects.filter(name=name).exists():
            continue
        interval = IntervalSchedule.objects.filter(every=declared.seconds, period=IntervalSchedule.SECONDS).first()
        interval = interval or IntervalSchedule.objects.create(every=declared.seconds, period=IntervalSchedule.SECONDS)
        _, is_new = PeriodicTask.objects.get_or_create(name=name, defaults=defaults | {"interval": interval})
        added += is_new
    return added
