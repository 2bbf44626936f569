"""Answers that are kept for retries go after a day."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from core.durations import ANSWERS_KEPT
from jobs.models import IdempotentAnswer


def answers_expire(*, now: datetime | None = None) -> int:
    """Delete the answers that no retry is given any more; returns how many."""
    gone, _ = IdempotentAnswer.objects.filter(created_at__lt=(now or timezone.now()) - ANSWERS_KEPT).delete()
    return gone
