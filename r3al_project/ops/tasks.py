"""Scheduled Celery task of operations."""

from __future__ import annotations

from celery import shared_task

from core.durations import MINUTE
from jobs.schedules import schedule
from r3al_project.ops.expired_logins import logins_expire


@shared_task(name="ops.expire_logins", ignore_result=True)
def expire_logins() -> None:
    """Delete failed logins that limit nobody any more, and sessions and tokens that have ended."""
    logins_expire()


schedule("operations: delete logins that have expired", task="ops.expire_logins", seconds=15 * MINUTE)
