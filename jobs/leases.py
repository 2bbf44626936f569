"""Manage leases. Every change of a running job is one conditional UPDATE on its token, and the row count shows success.

All times come from the database clock, so workers' clocks need not agree. SQLite has none of its own, and PostgreSQL's may be set
back: see ``jobs.lease_watch``.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Case, CharField, DateTimeField, ExpressionWrapper, F, Q, QuerySet, Value, When
from django.db.models.functions import Cast, Coalesce, Concat, Now

from core.errors import R3alError
from jobs.lease_watch import WATCH
from jobs.models import Job, JobState


class LeaseLost(Exception):
    """Report that another worker took the job over, or that the job ended. Further writes by this worker are refused."""


class JobCancelled(Exception):
    """Report that a user cancelled the job."""


class TimeLimit(R3alError):
    """Report that the job exceeded its soft time limit."""


def from_now(seconds: float) -> ExpressionWrapper:
    """Return the database's current time plus ``seconds`` (which may be negative)."""
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())


def lease_end() -> ExpressionWrapper:
    """Return the expiry time of a lease that is claimed or renewed now."""
    return from_now(settings.R3AL_JOB_LEASE_SECONDS)


def expired() -> QuerySet[Job]:
    """Return the running jobs whose worker has not renewed the lease in time."""
    return Job.objects.filter(_expired())


def _expired() -> Q:
    running, silent = Q(state=JobState.RUNNING), Q(lease_until__lt=Now())
    watched = Q(lease_until__gt=from_now(settings.R3AL_JOB_LEASE_SECONDS))  # written before the clock was set back
    if connection.vendor == "sqlite":
        silent, watched = Q(pk__in=()), Q()
    leases = Job.objects.filter(running, watched).values_list("pk", "lease_token", "lease_until")
    for pk, token, until in WATCH.silent((pk, token, until) for pk, token, until in leases if until is not None):
        silent |= Q(pk=pk, lease_token=token, lease_until=until)
    return running & silent


def claim(job_id: int) -> Job | None:
    """Claim a job that is queued, or running with an expired lease.

    Returns: None when another worker holds the job or the job has ended.
    """
    token = secrets.token_hex(16)
    free = Q(state=JobState.QUEUED) | _expired()
    taken = Job.objects.filter(free, pk=job_id, attempts__lt=F("max_attempts"), cancel_requested=False).update(
        state=JobState.RUNNING,
        lease_token=token,
        lease_until=lease_end(),
        attempts=F("attempts") + 1,
        started_at=Coalesce("started_at", Now()),
        progress=0.0,
        message="",
    )
    # Filter by token: this worker may pause here past its lease, and another worker then holds the row.
    return Job.objects.filter(pk=job_id, lease_token=token).first() if taken else None


def extend(job_id: int, token: str, **values: Any) -> None:
    """Renew the lease and write ``values`` in the same UPDATE.

    Inside a transaction this also locks the row. No other worker claims or cancels the job before that transaction ends.
    Raises: LeaseLost, or JobCancelled when cancellation was requested.
    """
    mine = _mine(job_id, token)
    if not mine.filter(cancel_requested=False).update(lease_until=lease_end(), **values):
        raise JobCancelled(f"job {job_id}") if mine.exists() else LeaseLost(f"job {job_id}")


def finish(job_id: int, token: str, state: JobState, *, error: str = "", result: dict[str, Any] | None = None) -> bool:
    """End a job whose lease this worker still holds.

    Returns: False when the lease was lost, with nothing written.
    """
    values: dict[str, Any] = {"state": state, "lease_token": "", "lease_until": None, "error": error}
    if state == JobState.DONE:
        values |= {"progress": 1.0, "message": "", "result": result}
    return bool(_mine(job_id, token).update(finished_at=Now(), **values))


def requeue_mine(job_id: int, token: str, reason: str) -> bool:
    """Requeue, fail or cancel this worker's job after an attempt that failed unexpectedly.

    Returns: False when this worker no longer holds the lease.
    """
    return bool(requeue(_mine(job_id, token), reason))


def requeue(running: QuerySet[Job], reason: str) -> int:
    """Put running jobs back into the queue. Jobs with a cancellation request are cancelled, jobs without attempts left fail.

    A single UPDATE does this, so a concurrent cancellation request is never lost.
    Returns: the number of jobs.
    """
    numbered_reason = Concat(
        Value(f"{reason} (start "), Cast("attempts", CharField()), Value(" of "), Cast("max_attempts", CharField()), Value(")")
    )  # fmt: skip
    cancelled, exhausted = Q(cancel_requested=True), Q(attempts__gte=F("max_attempts"))
    return running.update(
        state=Case(
            When(cancelled, then=Value(JobState.CANCELLED)),
            When(exhausted, then=Value(JobState.FAILED)),
            default=Value(JobState.QUEUED),
        ),
        finished_at=Case(When(cancelled | exhausted, then=Now()), default=None, output_field=DateTimeField()),
        error=Case(When(cancelled, then=Value("")), default=numbered_reason),
        lease_token="",
        lease_until=None,
        dispatched_at=None,
        dispatches=0,
    )


def _mine(job_id: int, token: str) -> QuerySet[Job]:
    return Job.objects.filter(pk=job_id, lease_token=token, state=JobState.RUNNING)
