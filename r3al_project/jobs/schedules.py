"""The schedules beat works by: rows that operators may edit in the admin, so they are added once and never overwritten."""

from __future__ import annotations

from django.db import transaction

# name -> task, seconds between runs, queue
SCHEDULES: dict[str, tuple[str, int, str]] = {
    "jobs: ring again for what nobody took": ("jobs.reconcile", 15, "monitor"),
    "turns: settle those whose job failed": ("turns.settle", 15, "monitor"),
}


@transaction.atomic
def schedules_sync() -> int:
    """Add the schedules that are missing; whatever an operator changed or disabled stays. Returns how many were added."""
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    added = 0
    for name, (task, seconds, queue) in SCHEDULES.items():
        every = IntervalSchedule.objects.filter(every=seconds, period=IntervalSchedule.SECONDS).first()
        every = every or IntervalSchedule.objects.create(every=seconds, period=IntervalSchedule.SECONDS)
        # An expired run is dropped: after a pause of the workers one run is enough.
        defaults = {"task": task, "interval": every, "queue": queue, "expire_seconds": seconds * 4}
        _, new = PeriodicTask.objects.get_or_create(name=name, defaults=defaults)
        added += new
    return added
