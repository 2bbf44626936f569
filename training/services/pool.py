"""Delete expired rows of the training pool, and reports on them. Model versions that were trained on them stay."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from core import clock
from training.models import SyntheticJob, TrainingDataPool

POOL_CHUNK = 50  # of up to 5,000 rows each


def pool_expire(*, now: datetime | None = None) -> int:
    """Delete expired chunks in batches that each commit, so an interrupted run is continued by the next.

    Returns: the number of chunks deleted.
    """
    deleted, now = 0, now or clock.now()
    SyntheticJob.objects.filter(expires_at__lt=now).exclude(report="").update(report="")
    expired = TrainingDataPool.objects.filter(expires_at__lt=now).order_by("pk")
    while pks := list(expired.values_list("pk", flat=True)[:POOL_CHUNK]):
        with transaction.atomic():
            TrainingDataPool.objects.filter(pk__in=pks).delete()
        deleted += len(pks)
    return deleted
