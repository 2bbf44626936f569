"""Wait briefly for a job, so that a request for a quick job gets its result at once."""

from __future__ import annotations

import threading
import time

from jobs.models import Job
from jobs.selectors import job_get

_PAUSE_SECONDS = 0.05
_waits = threading.BoundedSemaphore(
    1
)  # a waiting request holds one of the few threads of the process; the others must stay free


def job_awaited(job: Job, *, seconds: float) -> Job:
    """Wait until a job is over, for at most ``seconds``, and return it as it is then.

    Only one request of a process waits at a time. Every other one gets the job as it is now.
    """
    if not _waits.acquire(blocking=False):
        return job_get(job_id=job.pk)
    try:
        ends = time.monotonic() + seconds
        while not (found := job_get(job_id=job.pk)).is_over and time.monotonic() < ends:
            time.sleep(_PAUSE_SECONDS)
        return found
    finally:
        _waits.release()
