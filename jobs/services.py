"""Enqueue, run, cancel and reconcile jobs."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping

from celery import current_app
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Case, DateTimeField, F, Q, Value, When
from django.db.models.functions import Now

from core.durations import HOUR
from core.errors import InputError, KeyReused, NotFound, R3alError
from jobs import leases
from jobs.handlers import JobContext, UnknownJobKind, kind_of
from jobs.heartbeat import Heartbeat
from jobs.models import OPEN_STATES, Job, JobState

log = logging.getLogger(__name__)
Argument = int | str | float | bool | None
RUN_TASK = "jobs.run"
_KILL_AFTER_SECONDS = 60  # after the soft limit, a worker whose handler is still running ends
_MOST_DOUBLINGS = 3  # of the grace period between two messages


@transaction.atomic
def job_enqueue(*, kind: str, arguments: Mapping[str, Argument], key: str | None = None) -> Job:
    """Queue a job, or return the existing job with the same key. Its message is sent when the caller's transaction commits.

    Raises: InputError for an unknown kind, an empty key or an argument that is not a plain value. KeyReused when the key
    belongs to a job of another kind or with other arguments.
    """
    _check(kind, arguments, key)
    values = {"kind": kind, "arguments": dict(arguments)}
    if key is None:
        job, new = Job.objects.create(**values), True
    else:
        job, new = Job.objects.get_or_create(key=key, defaults=values)
    if new:
        transaction.on_commit(lambda: dispatch(job))
    elif (job.kind, job.arguments) != (kind, dict(arguments)):
        raise KeyReused(f"the key {key!r} belongs to {job}, which has another kind or other arguments; use another key")
    return job


def _check(kind: str, arguments: Mapping[str, Argument], key: str | None) -> None:
    try:
        kind_of(kind)
        json.dumps(dict(arguments), allow_nan=False)
    except UnknownJobKind:
        raise InputError(
            f"no handler is registered for jobs of kind {kind!r}; register one in an app's tasks.py"
        ) from None
    except (TypeError, ValueError):
        raise InputError(
            f"the arguments of a {kind!r} job are not all JSON values; pass ids and plain values"
        ) from None
    for name, value in arguments.items():
        if not isinstance(value, Argument):
            raise InputError(
                f"argument {name!r} of a {kind!r} job is a {type(value).__name__}; pass ids and plain values"
            )
    if key == "":
        raise InputError(f"the key of a {kind!r} job is empty; leave it out, or name what must happen once")


def dispatch(job: Job) -> bool:
    """Send the job's id to the workers. Reconciliation sends a lost message again.

    Returns: False when the broker refuses the message.
    """
    Job.objects.filter(pk=job.pk, state=JobState.QUEUED).update(dispatched_at=Now(), dispatches=F("dispatches") + 1)
    try:
        queue, time_limit = _route(job.kind)
        current_app.send_task(RUN_TASK, args=(job.pk,), retry=False, queue=queue, time_limit=time_limit)
    except Exception as error:  # whatever the broker's client raises
        log.warning("the broker refused the message for %s: %s", job, type(error).__name__)
        return False
    return True


def _route(name: str) -> tuple[str, int]:
    """Return the queue and hard time limit (seconds) of a job kind. A newer worker may know a kind that is unknown here."""
    queue, limit = "default", HOUR
    with contextlib.suppress(UnknownJobKind):
        kind = kind_of(name)
        queue, limit = kind.queue, kind.soft_limit_seconds
    return queue, limit + _KILL_AFTER_SECONDS


def job_cancel(*, job_id: int, actor: str) -> bool:
    """Cancel a job. A queued job ends at once. A running job ends at its next progress report, or at its end without a result.

    Args:
        actor: the name of who cancels it. The first one is kept.
    Returns: False for a job that had already ended, which is left unchanged.
    Raises: NotFound.
    """
    queued = Q(state=JobState.QUEUED)
    updated = Job.objects.filter(pk=job_id, state__in=OPEN_STATES).update(
        cancel_requested=True,
        cancelled_by=Case(When(cancelled_by="", then=Value(actor[:150])), default=F("cancelled_by")),
        state=Case(When(queued, then=Value(JobState.CANCELLED)), default=F("state")),
        finished_at=Case(When(queued, then=Now()), default=None, output_field=DateTimeField()),
    )
    if not updated and not Job.objects.filter(pk=job_id).exists():
        raise NotFound(f"there is no job {job_id}; check the id")
    return bool(updated)


def job_run(job_id: int) -> None:
    """Claim, compute and finish a job. Do nothing when another worker holds it or when it has ended."""
    job = leases.claim(job_id)
    if job is None:
        return
    try:
        _run(job)
    except leases.LeaseLost:
        log.warning("%s was taken over by another worker; this attempt wrote no result", job)
    except leases.JobCancelled:
        leases.finish(job.pk, job.lease_token, JobState.CANCELLED)
    except R3alError as error:
        leases.finish(job.pk, job.lease_token, JobState.FAILED, error=str(error) or type(error).__name__)
    except UnknownJobKind:
        _requeue_after_failure(
            job, f"this worker has no handler for jobs of kind {job.kind!r}; update the workers to this version"
        )
    except Exception as error:  # any other exception is a bug here: keep its class name, retry up to the maximum
        log.exception("%s failed unexpectedly", job)
        # Store the class only: messages of unexpected errors may contain values of a person.
        _requeue_after_failure(
            job, f"an unexpected {type(error).__name__}; the log of the process that ran it has the details"
        )


def _run(job: Job) -> None:
    kind = kind_of(job.kind)
    with Heartbeat(job.pk, job.lease_token, kind.soft_limit_seconds) as heartbeat:
        write = kind.run(JobContext(job.pk, job.lease_token, dict(job.arguments), heartbeat))
        with transaction.atomic(durable=True):
            leases.extend(job.pk, job.lease_token)
            result = write()
            if not leases.finish(job.pk, job.lease_token, JobState.DONE, result=result):
                raise leases.LeaseLost(f"job {job.pk}")


def _requeue_after_failure(job: Job, reason: str) -> None:
    """Requeue or fail the job. When the database cannot be written, the job stays leased and is retried after its lease."""
    try:
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()  # a lost connection may have caused the failure
        leases.requeue_mine(job.pk, job.lease_token, reason)
    except (OperationalError, InterfaceError) as error:
        log.warning("%s stays leased: %s", job, type(error).__name__)


def jobs_reconcile() -> int:
    """Requeue the jobs of vanished workers, then send messages again for queued jobs that no worker claimed.

    Returns: the number of sent messages.
    """
    leases.requeue(leases.expired(), "its worker vanished")
    sent = 0
    for job in Job.objects.filter(_due(), state=JobState.QUEUED).order_by("id"):
        if not dispatch(job):
            break  # the broker is down; waiting for it again for each job would gain nothing
        sent += 1
    return sent


def _due() -> Q:
    """Select queued jobs whose message was never sent, or was sent longer than the grace period ago.

    The grace period doubles with each message, so that a backlog does not multiply its messages. A message of the future was
    sent before the clock was set back.
    """
    due = Q(dispatches=0) | Q(dispatched_at__gt=leases.from_now(settings.R3AL_JOB_GRACE_SECONDS))
    for doublings in range(_MOST_DOUBLINGS + 1):
        count = Q(dispatches=doublings + 1) if doublings < _MOST_DOUBLINGS else Q(dispatches__gt=doublings)
        due |= count & Q(dispatched_at__lt=leases.from_now(-settings.R3AL_JOB_GRACE_SECONDS * 2**doublings))
    return due
