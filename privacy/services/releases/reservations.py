"""Settle abandoned reservations: refund those that drew no noise, and free the outcomes of those that did."""

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

RESERVATION_AGE = timedelta(days=1)  # longer than any job with all its attempts
ANONYMIZE_JOB = "privacy.anonymize"


@dataclass(frozen=True)
class SettledCounts:
    """The number of reservations that were refunded, and of those that stay charged because noise was drawn."""

    refunded: int
    kept: int


def reservations_settle(*, busy: Collection[str] = (), now: datetime | None = None) -> SettledCounts:
    """Settle every reservation whose job is over, and every one without a job that is a day old.

    Reservations with keys in ``busy`` are skipped, because a worker may still finish them.
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
            kept += _release_outcomes(release)
    return SettledCounts(refunded, kept)


def reservation_refund(*, release: Release) -> bool:
    """Refund a reservation of which nothing was stored. Returns whether it was refunded.

    A worker that is still computing it can no longer store anything.
    """
    try:
        cohort_refund(release=release)
    except Conflict:
        return False
    return True


def job_key(release: Release) -> str:
    """Return the key of the job that computes an anonymisation."""
    return f"anonymize-{release.pk}"


@transaction.atomic
def _release_outcomes(release: Release) -> bool:
    """Record in the Trust Vault, once, that a release stays unfinished, and free its outcomes. Returns whether it was recorded.

    Its charge stays, because noise was drawn. It is never pooled, so the next release may use its outcomes.
    """
    state = Release.objects.select_for_update(no_key=True).values_list("state", flat=True).get(pk=release.pk)
    recorded = VaultEvent.objects.filter(kind=VaultKind.RELEASE, body__release=release.pk, body__has_key="outputs")
    if state != ReleaseState.RESERVED or recorded.exists():
        return False
    RewardSignal.objects.filter(release=release).update(release=None)
    release_record(release)
    return True
