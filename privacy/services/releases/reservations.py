"""Reservations that nobody will finish: what drew no noise is given back; what did stays charged, its outcomes free again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from core.errors import Conflict
from jobs.models import Job
from privacy.models import Release, ReleaseState, RewardSignal, VaultEvent, VaultKind
from privacy.services.budget.charge import cohort_refund
from privacy.services.releases.lifecycle import release_record

RESERVATION_AGE = timedelta(days=1)  # longer than any job with all its starts
ANONYMIZE_JOB = "privacy.anonymize"


@dataclass(frozen=True)
class SettledCounts:
    """How many reservations were given back, and how many stay charged because noise was drawn."""

    refunded: int
    kept: int


def reservations_settle(*, busy: Collection[str] = (), now: datetime | None = None) -> SettledCounts:
    """Settle every reservation whose job is over, and without a job every one that is a day old; but not those of the keys in
    ``busy``, which somebody may still finish.
    """
    before = (now or timezone.now()) - RESERVATION_AGE
    refunded = kept = 0
    for release in Release.objects.filter(state=ReleaseState.RESERVED).exclude(key__in=busy).order_by("pk"):
        job = Job.objects.filter(key=job_key(release)).first()
        if not job.is_over if job else release.created_at >= before:
            continue
        if reservation_refund(release=release):
            refunded += 1
        else:
            kept += _let_go(release)
    return SettledCounts(refunded, kept)


def reservation_refund(*, release: Release) -> bool:
    """Give a reservation back if nothing of it was stored; whether it was. Who still computes it can store nothing any more."""
    try:
        cohort_refund(release=release)
    except Conflict:
        return False
    return True


def job_key(release: Release) -> str:
    """The key of the job that computes an anonymisation."""
    return f"anonymize-{release.pk}"


@transaction.atomic
def _let_go(release: Release) -> bool:
    """Tell the vault, once, that a release ends half way. Its charge stands, as noise was drawn. Nothing is ever pooled from it,
    so the outcomes that it took may teach in the next one.
    """
    state = Release.objects.select_for_update(no_key=True).values_list("state", flat=True).get(pk=release.pk)
    recorded = VaultEvent.objects.filter(kind=VaultKind.RELEASE, body__release=release.pk)
    if state != ReleaseState.RESERVED or recorded.exists():
        return False
    RewardSignal.objects.filter(release=release).update(release=None)
    release_record(release)
    return True
