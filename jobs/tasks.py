"""Define the Celery tasks that run a job, reconcile all jobs, and delete expired answers."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.signals import task_success

from core.durations import HOUR
from jobs import services
from jobs.hard_limit import process_ends_after
from jobs.idempotent_answers import answers_expire
from jobs.periodic_runs import run_finished
from jobs.schedules import schedule


@shared_task(bind=True, name=services.RUN_TASK, ignore_result=True, acks_late=True)
def run_job(self: Any, job_id: int) -> None:
    """Run one job unless another worker holds it or it has ended. The message says how long the worker may take."""
    hard_limit, _ = self.request.timelimit or (None, None)
    with process_ends_after(hard_limit):
        services.job_run(job_id)


@shared_task(name="jobs.reconcile", ignore_result=True)
def reconcile_jobs() -> None:
    """Send messages again for jobs that no worker claimed."""
    services.jobs_reconcile()


@shared_task(name="jobs.expire_answers", ignore_result=True)
def expire_answers() -> None:
    """Delete the answers that are too old to be repeated to a retry."""
    answers_expire()


@task_success.connect
def note_success(sender: Any, **facts: Any) -> None:
    """Note when a scheduled task finished. A job's row says by itself when it did."""
    if sender.name != services.RUN_TASK:
        run_finished(sender.name)


schedule("jobs: ring again for what nobody took", task="jobs.reconcile", seconds=15)
schedule("jobs: delete answers that were kept for retries", task="jobs.expire_answers", seconds=HOUR)
