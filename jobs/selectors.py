"""Read jobs from the database."""

from __future__ import annotations

from core.errors import NotFound
from jobs.models import Job


def job_get(*, job_id: int) -> Job:
    """Return one job.

    Raises: NotFound.
    """
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise NotFound(f"there is no job {job_id}; check the id")
    return job
