"""A database with jobs to do and a beat that reconciles every second."""

from __future__ import annotations

from typing import Any

from django_celery_beat.models import IntervalSchedule, PeriodicTask

from jobs.schedules import schedules_sync
from jobs.services import job_enqueue
from tests.factories import job_kinds as job_kinds  # registers them
from tests.fresh_database import create_tables


def main(jobs: str, seconds: str) -> dict[str, Any]:
    """So many jobs that each take so many seconds."""
    create_tables()
    schedules_sync()
    often = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.filter(task="jobs.reconcile").update(interval=often)
    for number in range(int(jobs)):
        job_enqueue(kind="test.steps", arguments={"seconds": float(seconds)}, key=f"job {number}")
    return {}
