"""Scheduled tasks of the training floor."""

from __future__ import annotations

from celery import shared_task

from core.durations import DAY
from jobs.queues import TRAIN
from jobs.schedules import schedule
from training.services.pool import pool_expire


@shared_task(name="training.expire_pool", ignore_result=True)
def expire_pool() -> None:
    """Delete expired rows of the training pool."""
    pool_expire()


schedule("training: delete pool rows that have expired", task="training.expire_pool", seconds=DAY, queue=TRAIN)
