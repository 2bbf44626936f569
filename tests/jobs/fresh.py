"""On a fresh database: ``python -m tests.jobs.fresh JOBS SECONDS`` makes the tables, reconciles every second, queues jobs."""

from __future__ import annotations

import os
import sys

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "r3al_project.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django_celery_beat.models import IntervalSchedule, PeriodicTask  # noqa: E402

from jobs.schedules import schedules_sync  # noqa: E402
from jobs.services import job_enqueue  # noqa: E402
from tests.jobs import kinds as kinds  # noqa: E402


def main(jobs: int, seconds: float) -> None:
    # Without migrations: the same tables, sooner.
    settings.MIGRATION_MODULES = dict.fromkeys((app.split(".")[-1] for app in settings.INSTALLED_APPS), None)
    call_command("migrate", run_syncdb=True, verbosity=0)
    schedules_sync()
    often = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.filter(task="jobs.reconcile").update(interval=often)
    for number in range(jobs):
        job_enqueue(kind="test.steps", arguments={"seconds": seconds}, key=f"job {number}")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
