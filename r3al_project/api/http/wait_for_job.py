"""Waiting a moment for a job, so that what is quickly done is answered at once."""

from __future__ import annotations

import threading
import time

from jobs.models import Job
from jobs.selectors import job_get

_PAUSE = 0.05
_waits = threading.BoundedSemaphore(1)  # a waiting request holds one of the process's few threads: the others answer


def job_awaited(job: Job, *, seconds: float) -> Job:
    """The job once it is over, or as it is after so many seconds. Only one request of a process waits; others look once."""
    if not _waits.acquire(blocking=False):
        return job_get(job_id=job.pk)
    try:
        ends = time.monotonic() + seconds
        while not (found := job_get(job_id=job.pk)).is_over and time.monotonic() < ends:
            time.sleep(_PAUSE)
        return found
    finally:
        _waits.release()
