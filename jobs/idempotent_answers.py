"""Delete the stored answers to idempotent requests after a day."""

from __future__ import annotations

from datetime import datetime

from core import clock
from core.durations import ANSWERS_KEPT
from jobs.models import IdempotentAnswer


def answers_expire(*, now: datetime | None = None) -> int:
    """Delete the answers that are too old to be repeated to a retry.

    Returns: the number of deleted answers.
    """
    deleted, _ = IdempotentAnswer.objects.filter(created_at__lt=(now or clock.now()) - ANSWERS_KEPT).delete()
    return deleted
