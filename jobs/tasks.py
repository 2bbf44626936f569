"""Thin Celery tasks: run one job, reconcile them all, expire kept answers."""

from __future__ import annotations

from celery import shared_task

from core.durations import HOUR
from jobs import services
from jobs.idempotent_answers import answers_expire
from jobs.schedules import schedule


@shared_task(name=services.RUN_TASK, ignore_result=True, acks_late=True)
def run_job(job_id: int) -> None:
    """Run one job, if it is still to be run."""
    services.job_run(job_id)


@shared_task(name="jobs.reconcile", ignore_result=True)
def reconcile_jobs() -> None:
    """Dispatch again what nobody took."""
    services.jobs_reconcile()


@shared_task(name="jobs.expire_answers", ignore_result=True)
def expire_answers() -> None:
    """Delete the answers that no retry is given any more."""
    answers_expire()


schedule("jobs: ring again for what nobody took", task="jobs.reconcile", seconds=15)
schedule("jobs: delete answers that were kept for retries", task="jobs.expire_answers", seconds=HOUR)
