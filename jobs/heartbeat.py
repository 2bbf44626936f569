"""A thread beside a computing handler: it renews the lease, sees a wish to cancel, and ends a job that takes too long."""

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
    """A context manager around the computing. ``check`` tells the handler what the thread, which it cannot see, has seen.

    The time limit holds for handlers that never report progress too: the thread writes the failure into the row, and the
    handler's own end is then refused.
    """

    def __init__(self, job_id: int, token: str, limit_seconds: float) -> None:
        self._job_id, self._token, self._limit = job_id, token, limit_seconds
        self._ends_at = time.monotonic() + limit_seconds
        self._stop = threading.Event()
        self._seen: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=f"heartbeat-{job_id}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join(timeout=settings.R3AL_JOB_LEASE_SECONDS)

    def check(self) -> None:
        """Raises JobCancelled, LeaseLost or TimeLimit once the thread knows of it."""
        if self._seen is not None:
            raise self._seen

    def _work(self) -> None:
        try:
            while self._seen is None and not self._stop.wait(self._pause()):
                self._beat()
        finally:
            connection.close()  # the thread's own

    def _pause(self) -> float:
        """To the next beat, or to the time limit when that is nearer."""
        left = self._ends_at - time.monotonic()
        pause: float = settings.R3AL_JOB_HEARTBEAT_SECONDS
        return min(pause, left) if left > 0 else pause

    def _beat(self) -> None:
        """A beat that fails (a lock, a restart of the database) is simply tried again at the next."""
        try:
            if time.monotonic() >= self._ends_at:
                self._seen = self._end()
            else:
                leases.extend(self._job_id, self._token)
        except (leases.JobCancelled, leases.LeaseLost) as seen:
            self._seen = seen
        except Error as error:
            log.warning("job %s: a heartbeat failed (%s)", self._job_id, type(error).__name__)
            connection.close()

    def _end(self) -> Exception:
        error = leases.TimeLimit(f"the job passed its time limit of {self._limit:g} s; nothing of it was written")
        leases.finish(self._job_id, self._token, JobState.FAILED, error=str(error))
        return error
