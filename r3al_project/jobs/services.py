"""The life of a job: enqueue, run, cancel, reconcile."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from r3al_project.common.errors import NotFound, R3alError
from r3al_project.jobs import leases
from r3al_project.jobs.handlers import JobContext, kind_of
from r3al_project.jobs.models import Job, JobState

log = logging.getLogger(__name__)
Argument = int | str | float | bool | None


@transaction.atomic
def job_enqueue(*, kind: str, arguments: Mapping[str, Argument], key: str | None = None) -> Job:
    """Queue a job, or return the one that has this key already. The bell rings when the caller's transaction commits."""
    kind_of(kind)
    if key is None:
        job, new = Job.objects.create(kind=kind, arguments=dict(arguments)), True
    else:
        job, new = Job.objects.get_or_create(key=key, defaults={"kind": kind, "arguments": dict(arguments)})
    if new:
        transaction.on_commit(lambda: ring(job))
    return job


def ring(job: Job) -> None:
    """Tell the workers. A bell that is not heard costs nothing but time: reconciling rings again."""
    from r3al_project.jobs.tasks import run_job

    Job.objects.filter(pk=job.pk, state=JobState.QUEUED).update(rung_at=Now())
    try:
        run_job.apply_async(args=[job.pk], queue=kind_of(job.kind).queue, retry=False)
    except Exception as error:  # whatever the broker's client raises: the row is there, and reconciling rings again
        log.warning("the bell for job %s was not heard: %s", job.pk, type(error).__name__)


def job_cancel(*, job_id: int) -> None:
    """A queued job ends at once; a running one is asked to, and ends at its next report of progress."""
    if Job.objects.filter(pk=job_id, state=JobState.QUEUED).update(
        state=JobState.CANCELLED, cancel_requested=True, finished_at=Now()
    ):
        return
    if not Job.objects.filter(pk=job_id).exists():
        raise NotFound(f"there is no job {job_id}")
    Job.objects.filter(pk=job_id, state=JobState.RUNNING).update(cancel_requested=True)


def job_run(job_id: int) -> None:
    """Claim, compute, finish. Returns quietly when the job is somebody else's or over."""
    job = leases.claim(job_id)
    if job is None:
        return
    try:
        with leases.Heartbeat(job.pk, job.token):
            _run(job)
    except leases.LeaseLost:
        log.warning("job %s was taken over; nothing of this attempt was written", job.pk)
    except leases.JobCancelled:
        leases.finish(job.pk, job.token, JobState.CANCELLED)
    except R3alError as error:
        leases.finish(job.pk, job.token, JobState.FAILED, error=str(error))
    except Exception as error:  # anything else is a fault of ours: keep its name, try again up to the bound
        log.exception("job %s broke", job.pk)
        _broke(job, error)


def _run(job: Job) -> None:
    kind = kind_of(job.kind)
    context = JobContext(job.pk, job.token, dict(job.arguments), kind.soft_limit_seconds)
    finish = kind.run(context)
    with transaction.atomic():
        leases.hold(job.pk, job.token)
        result = finish()
        if not leases.finish(job.pk, job.token, JobState.DONE, result=result):
            raise leases.LeaseLost(f"job {job.pk}")


def _broke(job: Job, error: Exception) -> None:
    """Queue again or fail. The text names the error's class only: messages of unexpected errors may hold values."""
    reason = f"an unexpected {type(error).__name__}; the worker's log has the details"
    if job.starts >= job.max_starts:
        leases.finish(job.pk, job.token, JobState.FAILED, error=f"{reason} (start {job.starts} of {job.max_starts})")
    elif isinstance(error, DatabaseError):
        log.info("job %s stays leased; it is taken up when the lease ends", job.pk)
    else:
        leases.give_back(job.pk, job.token, reason)


def jobs_reconcile() -> int:
    """Ring again for jobs that nobody took or whose worker vanished; fail those that started too often. Returns bells rung."""
    expired = Q(state=JobState.RUNNING, lease_until__lt=Now())
    Job.objects.filter(expired | Q(state=JobState.QUEUED), starts__gte=F("max_starts")).update(
        state=JobState.FAILED,
        token="",
        lease_until=None,
        finished_at=Now(),
        error="its worker vanished at every start; see the worker's log around the last start",
    )
    Job.objects.filter(expired, cancel_requested=True).update(
        state=JobState.CANCELLED, token="", lease_until=None, finished_at=Now()
    )
    grace = Now() - timedelta(seconds=settings.R3AL_JOB_GRACE_SECONDS)
    unheard = Q(state=JobState.QUEUED) & (Q(rung_at__isnull=True) | Q(rung_at__lt=grace))
    waiting = list(Job.objects.filter(expired | unheard).order_by("id"))
    for job in waiting:
        ring(job)
    return len(waiting)
