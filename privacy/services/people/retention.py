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

from core import clock
from core.durations import RECORDS_KEPT
from core.sqlite_wal import wal_truncate
from privacy.engine.dp.coarse_counts import never_hidden
from privacy.models import Decision, ReleaseRound, ServingState, Signal, VaultKind
from privacy.services.vault.append import vault_append, vault_lock
from privacy.services.vault.deleted_rows import exports_empty, free_decisions, removed_sums
from privacy.services.vault.stored_rows import EMPTIED

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
    now = now or clock.now()
    before = now - RECORDS_KEPT
    signals = _delete(Signal.objects.filter(created_at__lt=before))
    decisions = _delete_decisions(
        Decision.objects.filter(created_at__lt=before).exclude(served__isnull=False, served__closed_at=None)
    )
    exports = _empty_exports(ReleaseRound.objects.filter(expires_at__lt=now))
    quiet = Q(observed_at__isnull=True) | Q(observed_at__lt=before)
    quiet &= Q(last_decision_at__isnull=True) | Q(last_decision_at__lt=before)
    expired = ExpiredCounts(signals, decisions, exports, _delete(ServingState.objects.filter(quiet)))
    wal_truncate()
    return expired


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while pks := list(rows.order_by("pk").values_list("pk", flat=True)[:EXPIRE_CHUNK]):
        with transaction.atomic():
            rows.model.objects.filter(pk__in=pks).delete()
        deleted += len(pks)
    return deleted


def _delete_decisions(rows: QuerySet[Decision]) -> int:
    """Delete decisions in chunks, each recorded in the Trust Vault. Rows that somebody else holds are left to the next run."""
    deleted = last = 0
    while pks := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:EXPIRE_CHUNK]):
        last = pks[-1]
        deleted += _delete_chunk(pks)
    return deleted


@transaction.atomic
def _delete_chunk(pks: list[int]) -> int:
    vault_lock()  # first, and then only rows that nobody holds: so this transaction never waits while others wait for it
    free = free_decisions(pks)
    decisions = Decision.objects.filter(pk__in=free)
    sums = removed_sums(decisions)
    decisions.delete()
    if free:
        vault_append(kind=VaultKind.EXPIRY, body={"decisions": never_hidden(len(free))}, sums=sums)
    return len(free)


@transaction.atomic
def _empty_exports(rounds: QuerySet[ReleaseRound]) -> int:
    exports, emptied = exports_empty(rounds)
    if exports:
        vault_append(kind=VaultKind.EXPIRY, body={"exports": never_hidden(exports)}, sums={EMPTIED.name: emptied})
    return exports
