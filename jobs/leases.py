"""Leases: every change of a running job is one conditional UPDATE on its token, and the row count is the answer.

Times are the database's, so that workers' clocks need not agree.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Case, CharField, DateTimeField, ExpressionWrapper, F, Q, QuerySet, Value, When
from django.db.models.functions import Cast, Coalesce, Concat, Now

from core.errors import R3alError
from jobs.models import Job, JobState


class LeaseLost(Exception):
    """Another worker took the job over, or it ended: whatever this one still wants to write is refused."""


class JobCancelled(Exception):
    """Somebody asked for the job to end."""


class TimeLimit(R3alError):
    """The job passed its soft time limit."""


def from_now(seconds: float) -> ExpressionWrapper:
    """The database's now plus (or minus) some seconds."""
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())


def lease_end() -> ExpressionWrapper:
    """When a lease that is taken or renewed now will expire."""
    return from_now(settings.R3AL_JOB_LEASE_SECONDS)


def expired() -> QuerySet[Job]:
    """Running jobs whose worker has not renewed the lease in time."""
    return Job.objects.filter(state=JobState.RUNNING, lease_until__lt=Now())


def claim(job_id: int) -> Job | None:
    """Take a job that is queued, or running with an expired lease; None when somebody else has it or it is over."""
    token = secrets.token_hex(16)
    free = Q(state=JobState.QUEUED) | Q(state=JobState.RUNNING, lease_until__lt=Now())
    taken = Job.objects.filter(free, pk=job_id, attempts__lt=F("max_attempts"), cancel_requested=False).update(
        state=JobState.RUNNING,
        lease_token=token,
        lease_until=lease_end(),
        attempts=F("attempts") + 1,
        started_at=Coalesce("started_at", Now()),
        progress=0.0,
        message="",
    )
    # By token: a pause here may outlast the lease, and then the row is another's.
    return Job.objects.filter(pk=job_id, lease_token=token).first() if taken else None


def extend(job_id: int, token: str, **values: Any) -> None:
    """Renew the lease, and write ``values`` with it. Raises LeaseLost, or JobCancelled when the job shall end.

    In a transaction it also locks the row: nobody takes the job over or cancels it before that transaction ends.
    """
    mine = _mine(job_id, token)
    if not mine.filter(cancel_requested=False).update(lease_until=lease_end(), **values):
        raise JobCancelled(f"job {job_id}") if mine.exists() else LeaseLost(f"job {job_id}")


def finish(job_id: int, token: str, state: JobState, *, error: str = "", result: dict[str, Any] | None = None) -> bool:
    """End a job that is still ours; False when it is not (then nothing was written)."""
    values: dict[str, Any] = {"state": state, "lease_token": "", "lease_until": None, "error": error}
    if state == JobState.DONE:
        values |= {"progress": 1.0, "message": "", "result": result}
    return bool(_mine(job_id, token).update(finished_at=Now(), **values))


def requeue_mine(job_id: int, token: str, reason: str) -> bool:
    """End a start that broke (see ``requeue``); False when the job is not ours any more."""
    return bool(requeue(_mine(job_id, token), reason))


def requeue(running: QuerySet[Job], reason: str) -> int:
    """Running jobs go back into the queue; those that shall end are cancelled, those that started too often fail.

    One statement, so that a wish to cancel is never lost between two. Returns how many there were.
    """
    numbered = Concat(
        Value(f"{reason} (start "), Cast("attempts", CharField()), Value(" of "), Cast("max_attempts", CharField()), Value(")")
    )  # fmt: skip
    asked, spent = Q(cancel_requested=True), Q(attempts__gte=F("max_attempts"))
    return running.update(
        state=Case(
            When(asked, then=Value(JobState.CANCELLED)),
            When(spent, then=Value(JobState.FAILED)),
            default=Value(JobState.QUEUED),
        ),
        finished_at=Case(When(asked | spent, then=Now()), default=None, output_field=DateTimeField()),
        error=Case(When(asked, then=Value("")), default=numbered),
        lease_token="",
        lease_until=None,
        dispatched_at=None,
        dispatches=0,
    )


def _mine(job_id: int, token: str) -> QuerySet[Job]:
    return Job.objects.filter(pk=job_id, lease_token=token, state=JobState.RUNNING)
