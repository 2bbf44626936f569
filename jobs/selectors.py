"""Read jobs from the database."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from core.errors import NotFound
from jobs.models import Job, JobState


def job_get(*, job_id: int) -> Job:
    """Return one job.

    Raises: NotFound.
    """
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise NotFound(f"there is no job {job_id}; check the id")
    return job


def jobs_running() -> QuerySet[Job]:
    """Return the jobs that workers hold, the longest running first."""
    return Job.objects.filter(state=JobState.RUNNING).order_by("started_at", "id")


def jobs_counts() -> dict[str, int]:
    """Return the number of jobs in each state, including states without jobs."""
    counted = dict(Job.objects.values_list("state").annotate(Count("id")))
    return {state: counted.get(state, 0) for state in JobState.values}
