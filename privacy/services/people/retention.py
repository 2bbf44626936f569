"""Retention: what was kept of people goes after ``RECORDS_KEPT``, in chunks that each commit. Logs, models and the vault stay.

It runs from when the platform got a record, not from the day that it speaks of, so an import of old data is not lost
at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from core.durations import RECORDS_KEPT
from privacy.models import Decision, ReleaseRound, ServingState, Signal

EXPIRE_CHUNK = 1_000


@dataclass(frozen=True)
class ExpiredCounts:
    """How many rows went."""

    signals: int
    decisions: int
    exports: int
    memories: int


def records_expire(*, now: datetime | None = None) -> ExpiredCounts:
    """Delete signals and decisions (with their choices, words and outcomes) that are so old, and empty exports whose time
    is over; what serving remembers goes when nothing was heard of the person for as long. A decision that is still open stays
    until it is closed. Stopped anywhere, the next run goes on.
    """
    now = now or timezone.now()
    before = now - RECORDS_KEPT
    signals = _delete(Signal.objects.filter(created_at__lt=before))
    decisions = _delete(
        Decision.objects.filter(created_at__lt=before).exclude(served__isnull=False, served__closed_at=None)
    )
    exports = ReleaseRound.objects.filter(expires_at__lt=now).exclude(output=b"").update(output=b"")
    quiet = Q(observed_at__isnull=True) | Q(observed_at__lt=before)
    quiet &= Q(last_decision_at__isnull=True) | Q(last_decision_at__lt=before)
    return ExpiredCounts(signals, decisions, exports, _delete(ServingState.objects.filter(quiet)))


def _delete(rows: QuerySet[Any]) -> int:
    gone = 0
    while pks := list(rows.order_by("pk").values_list("pk", flat=True)[:EXPIRE_CHUNK]):
        with transaction.atomic():
            rows.model.objects.filter(pk__in=pks).delete()
        gone += len(pks)
    return gone
