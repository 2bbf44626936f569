"""End reservations that nobody will finish: refund those that drew no noise, and abandon those that did."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from core import clock
from core.errors import Conflict
from jobs.models import Job
from privacy.models import Release, ReleaseState
from privacy.services.budget.charge import cohort_refund, outcomes_free
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
    before = (now or clock.now()) - RESERVATION_AGE
    refunded = kept = 0
    for release in Release.objects.filter(state=ReleaseState.RESERVED).exclude(key__in=busy).order_by("pk"):
        job = Job.objects.filter(key=job_key(release)).first()
        if not job.is_over if job else release.created_at >= before:
            continue
        ended = reservation_end(release=release)
        refunded += ended == ReleaseState.REFUNDED
        kept += ended == ReleaseState.ABANDONED
    return SettledCounts(refunded, kept)


@transaction.atomic
def reservation_end(*, release: Release) -> str:
    """End a reservation that nobody will finish, and return its state. A release that is over is left as it is.

    If nothing was stored, everybody is refunded. If a round was stored, noise was drawn: the charge stays, the release is
    abandoned, and its outcomes are free for the next release, because it is never pooled. A worker that is still computing it can
    no longer store anything.
    """
    with contextlib.suppress(Conflict):
        cohort_refund(release=release)
        return ReleaseState.REFUNDED
    abandoned = Release.objects.filter(pk=release.pk, state=ReleaseState.RESERVED)
    if abandoned.update(state=ReleaseState.ABANDONED):
        freed = outcomes_free(release)
        release.refresh_from_db(fields=["state"])
        release_record(release, freed)
    release.refresh_from_db(fields=["state"])
    return release.state


def job_key(release: Release) -> str:
    """Return the key of the job that computes an anonymisation."""
    return f"anonymize-{release.pk}"
