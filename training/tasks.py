"""Scheduled tasks of the training floor, and its job handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import shared_task

from core.durations import DAY
from jobs.handlers import JobContext, handler
from jobs.queues import TRAIN
from jobs.schedules import schedule
from training.selectors.synthetic import synthetic_get
from training.services.pool import pool_expire
from training.services.synthetic.requests import SYNTHESIZE_JOB


@shared_task(name="training.expire_pool", ignore_result=True)
def expire_pool() -> None:
    """Delete expired rows of the training pool."""
    pool_expire()


@handler(SYNTHESIZE_JOB, queue=TRAIN)
def synthesize_job(context: JobContext) -> Callable[[], dict[str, Any]]:
    """Generate and score a table of synthetic rows."""
    from training.services.synthetic.generate import table_synthesize  # only workers import what fits and scores

    synthetic = synthetic_get(context.arguments["synthetic"])
    return table_synthesize(synthetic=synthetic, job_id=context.job_id, report=context.progress)


schedule("training: delete pool rows that have expired", task="training.expire_pool", seconds=DAY, queue=TRAIN)
