"""Delete people's records after ``RECORDS_KEPT``, in chunks that each commit. Logs, models and the Trust Vault stay.

The time runs from when the platform received a record, not from the day that it describes. So imported old data are not deleted
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
    """The numbers of deleted signals, decisions and serving states (``memories``), and of emptied exports."""

    signals: int
    decisions: int
    exports: int
    memories: int


def records_expire(*, now: datetime | None = None) -> ExpiredCounts:
    """Delete old signals and decisions, with their choices, reward events and outcomes, and empty expired exports.

    A serving state is deleted after the same time without a signal or a decision. An open decision stays until it is closed. If
    a run is stopped, the next one continues.
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
    deleted = 0
    while pks := list(rows.order_by("pk").values_list("pk", flat=True)[:EXPIRE_CHUNK]):
        with transaction.atomic():
            rows.model.objects.filter(pk__in=pks).delete()
        deleted += len(pks)
    return deleted
