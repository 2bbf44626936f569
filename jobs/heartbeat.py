"""Run a thread beside a handler that renews the lease, detects cancellation, and enforces the time limit."""

from __future__ import annotations

import logging
import threading
import time

from django.conf import settings
from django.db import Error, connection

from jobs import leases
from jobs.models import JobState

log = logging.getLogger(__name__)


class Heartbeat:
    """Keep a job's lease alive while its handler computes. The handler calls ``check`` to learn that it must stop.

    The time limit also applies to handlers that never report progress. The thread marks the job as failed, and the
    handler's own result is then refused.
    """

    def __init__(self, job_id: int, token: str, limit_seconds: float) -> None:
        self._job_id, self._token, self._limit = job_id, token, limit_seconds
        self._ends_at = time.monotonic() + limit_seconds
        self._stop = threading.Event()
        self._stop_reason: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=f"heartbeat-{job_id}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join(timeout=settings.R3AL_JOB_LEASE_SECONDS)

    def check(self) -> None:
        """Raise JobCancelled, LeaseLost or TimeLimit once the thread has detected it."""
        if self._stop_reason is not None:
            raise self._stop_reason

    def _work(self) -> None:
        try:
            while self._stop_reason is None and not self._stop.wait(self._pause()):
                self._beat()
        finally:
            connection.close()  # the connection belongs to this thread

    def _pause(self) -> float:
        """Return the seconds until the next heartbeat, or until the time limit if that comes first."""
        left = self._ends_at - time.monotonic()
        pause: float = settings.R3AL_JOB_HEARTBEAT_SECONDS
        return min(pause, left) if left > 0 else pause

    def _beat(self) -> None:
        """Renew the lease or end the job. A database error (a lock, a restart) is ignored until the next heartbeat."""
        try:
            if time.monotonic() >= self._ends_at:
                self._stop_reason = self._end()
            else:
                leases.extend(self._job_id, self._token)
        except (leases.JobCancelled, leases.LeaseLost) as stop_reason:
            self._stop_reason = stop_reason
        except Error as error:
            log.warning("job %s: a heartbeat failed (%s)", self._job_id, type(error).__name__)
            connection.close()

    def _end(self) -> Exception:
        error = leases.TimeLimit(f"the job exceeded its time limit of {self._limit:g} s; its result was not written")
        leases.finish(self._job_id, self._token, JobState.FAILED, error=str(error))
        return error
