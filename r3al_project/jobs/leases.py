"""Leases: every change of a running job is one conditional UPDATE on its token, and the row count is the answer.

Times are the database's, so that workers' clocks need not agree.
"""

from __future__ import annotations

import secrets
import threading
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import DateTimeField, ExpressionWrapper, F, Q
from django.db.models.functions import Coalesce, Now

from r3al_project.common.errors import R3alError
from r3al_project.jobs.models import Job, JobState


class LeaseLost(Exception):
    """Another worker took the job over: whatever this one still wants to write is refused."""


class JobCancelled(Exception):
    """Somebody asked for the job to end."""


class TimeLimit(R3alError):
    """The job passed its soft time limit."""


def lease_end() -> ExpressionWrapper:
    """The database's now plus the lease."""
    return ExpressionWrapper(Now() + timedelta(seconds=settings.R3AL_JOB_LEASE_SECONDS), output_field=DateTimeField())


def claim(job_id: int) -> Job | None:
    """Take a job that is queued, or running with an expired lease; None when somebody else has it or it is over."""
    token = secrets.token_hex(16)
    free = Q(state=JobState.QUEUED) | Q(state=JobState.RUNNING, lease_until__lt=Now())
    taken = Job.objects.filter(free, pk=job_id, starts__lt=F("max_starts"), cancel_requested=False).update(
        state=JobState.RUNNING,
        token=token,
        lease_until=lease_end(),
        starts=F("starts") + 1,
        started_at=Coalesce("started_at", Now()),
        message="",
    )
    return Job.objects.get(pk=job_id) if taken else None


def hold(job_id: int, token: str) -> None:
    """Extend the lease, inside the caller's transaction: locks the row, so nobody takes over before it ends."""
    if not _mine(job_id, token).update(lease_until=lease_end()):
        raise LeaseLost(f"job {job_id}")


def progress_write(job_id: int, token: str, fraction: float, message: str) -> None:
    """Write progress, extend the lease, and see a wish to cancel."""
    written = _mine(job_id, token).update(
        progress=min(max(fraction, 0.0), 1.0), message=message[:200], lease_until=lease_end()
    )
    if not written:
        raise LeaseLost(f"job {job_id}")
    if Job.objects.filter(pk=job_id, cancel_requested=True).exists():
        raise JobCancelled(f"job {job_id}")


def finish(job_id: int, token: str, state: JobState, *, error: str = "", result: dict[str, Any] | None = None) -> bool:
    """End a job that is still ours; False when it is not (then nothing was written)."""
    values: dict[str, Any] = {"state": state, "token": "", "lease_until": None, "error": error, "result": result}
    if state == JobState.DONE:
        values |= {"progress": 1.0, "message": ""}
    return bool(_mine(job_id, token).update(finished_at=Now(), **values))


def give_back(job_id: int, token: str, error: str) -> bool:
    """Put a job that broke back into the queue, with the reason of the last attempt."""
    return bool(
        _mine(job_id, token).update(state=JobState.QUEUED, token="", lease_until=None, rung_at=None, error=error)
    )


def _mine(job_id: int, token: str) -> Any:
    return Job.objects.filter(pk=job_id, token=token, state=JobState.RUNNING)


class Heartbeat:
    """A thread with a connection of its own that extends the lease while the handler computes."""

    def __init__(self, job_id: int, token: str) -> None:
        self._job_id, self._token = job_id, token
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{job_id}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join(timeout=settings.R3AL_JOB_LEASE_SECONDS)

    def _beat(self) -> None:
        try:
            while not self._stop.wait(settings.R3AL_JOB_HEARTBEAT_SECONDS):
                self._extend()
        finally:
            connection.close()

    def _extend(self) -> None:
        """A beat that fails (a lock, a restart of the database) is simply tried again at the next."""
        from django.db import Error

        try:
            _mine(self._job_id, self._token).update(lease_until=lease_end())
        except Error:
            connection.close()
