"""Scheduled tasks of the notices floor. They have a queue and a worker of their own, because they wait for other machines."""

from __future__ import annotations

from celery import shared_task

from core.durations import DAY, MINUTE
from jobs.queues import NOTICES
from jobs.schedules import schedule
from notices.services.deliver import deliveries_send
from notices.services.late_work import late_work_notices
from notices.services.retention import notices_expire
from notices.services.send_out import notices_send_out


@shared_task(name="notices.deliver", ignore_result=True)
def deliver() -> None:
    """Queue the deliveries of new notices, and attempt all that are due."""
    notices_send_out()
    deliveries_send()


@shared_task(name="notices.watch", ignore_result=True)
def watch() -> None:
    """Tell what is late. It runs on this queue, because the worker of what is late may be the one that died."""
    late_work_notices()


@shared_task(name="notices.expire", ignore_result=True)
def expire_notices() -> None:
    """Delete notices that are older than their retention."""
    notices_expire()


schedule("notices: tell operators", task="notices.deliver", seconds=15, queue=NOTICES, watched_as="telling operators")
schedule("notices: look for what is late", task="notices.watch", seconds=MINUTE, queue=NOTICES)
schedule("notices: delete what has expired", task="notices.expire", seconds=DAY, queue=NOTICES)
