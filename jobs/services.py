"""The life of a job: enqueue, run, cancel, reconcile."""

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
from core.errors import Conflict, InputError, NotFound, R3alError
from jobs import leases
from jobs.handlers import JobContext, UnknownJobKind, kind_of
from jobs.heartbeat import Heartbeat
from jobs.models import OPEN_STATES, Job, JobState

log = logging.getLogger(__name__)
Argument = int | str | float | bool | None
RUN_TASK = "jobs.run"
_KILL_AFTER_SECONDS = 60  # past the soft limit, a prefork worker ends the process of a handler that does not end itself
_LONGEST_WAIT = 3  # doublings of the grace between two messages


@transaction.atomic
def job_enqueue(*, kind: str, arguments: Mapping[str, Argument], key: str | None = None) -> Job:
    """Queue a job, or return the one that has this key already. The workers are told when the caller's transaction commits.

    Raises InputError for an unknown kind, an empty key or an argument that is no plain value, and Conflict when the key
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
        raise Conflict(
            f"the key {key!r} belongs to {job}, which is of another kind or has other arguments; use another key"
        )
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
    """Send the job's id to the workers; False when the broker does not take it. Reconciling replaces a lost message."""
    Job.objects.filter(pk=job.pk, state=JobState.QUEUED).update(dispatched_at=Now(), dispatches=F("dispatches") + 1)
    try:
        queue, time_limit = _route(job.kind)
        current_app.send_task(RUN_TASK, args=(job.pk,), retry=False, queue=queue, time_limit=time_limit)
    except Exception as error:  # whatever the broker's client raises
        log.warning("the broker did not take %s: %s", job, type(error).__name__)
        return False
    return True


def _route(name: str) -> tuple[str, int]:
    """Return the queue and hard time limit of its message. A kind unknown here may be known to a newer worker."""
    queue, limit = "default", HOUR
    with contextlib.suppress(UnknownJobKind):
        kind = kind_of(name)
        queue, limit = kind.queue, kind.soft_limit_seconds
    return queue, limit + _KILL_AFTER_SECONDS


def job_cancel(*, job_id: int) -> bool:
    """A queued job ends at once; a running one is asked to, and ends at its next report of progress, or unwritten at its end.

    False for a job that is over, which stays as it is. Raises NotFound.
    """
    queued = Q(state=JobState.QUEUED)
    asked = Job.objects.filter(pk=job_id, state__in=OPEN_STATES).update(
        cancel_requested=True,
        state=Case(When(queued, then=Value(JobState.CANCELLED)), default=F("state")),
        finished_at=Case(When(queued, then=Now()), default=None, output_field=DateTimeField()),
    )
    if not asked and not Job.objects.filter(pk=job_id).exists():
        raise NotFound(f"there is no job {job_id}")
    return bool(asked)


def job_run(job_id: int) -> None:
    """Claim, compute, finish. Returns quietly when the job is somebody else's or over."""
    job = leases.claim(job_id)
    if job is None:
        return
    try:
        _run(job)
    except leases.LeaseLost:
        log.warning("%s was taken over; nothing of this start was written", job)
    except leases.JobCancelled:
        leases.finish(job.pk, job.lease_token, JobState.CANCELLED)
    except R3alError as error:
        leases.finish(job.pk, job.lease_token, JobState.FAILED, error=str(error) or type(error).__name__)
    except UnknownJobKind:
        _broke(job, f"this worker has no handler for jobs of kind {job.kind!r}; update the workers to this version")
    except Exception as error:  # anything else is a fault of ours: keep its name, try again up to the bound
        log.exception("%s broke", job)
        # The class only: messages of unexpected errors may hold values of a person.
        _broke(job, f"an unexpected {type(error).__name__}; the worker's log has the details")


def _run(job: Job) -> None:
    kind = kind_of(job.kind)
    with Heartbeat(job.pk, job.lease_token, kind.soft_limit_seconds) as heartbeat:
        write = kind.run(JobContext(job.pk, job.lease_token, dict(job.arguments), heartbeat))
        with transaction.atomic(durable=True):
            leases.extend(job.pk, job.lease_token)
            result = write()
            if not leases.finish(job.pk, job.lease_token, JobState.DONE, result=result):
                raise leases.LeaseLost(f"job {job.pk}")


def _broke(job: Job, reason: str) -> None:
    """Queue again or fail. When even that cannot be written the job stays leased, and is taken up when the lease ends."""
    try:
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()  # the fault may have been the connection's end
        leases.requeue_mine(job.pk, job.lease_token, reason)
    except (OperationalError, InterfaceError) as error:
        log.warning("%s stays leased: %s", job, type(error).__name__)


def jobs_reconcile() -> int:
    """Requeue what a vanished worker held, then dispatch queued jobs that nobody took. Returns how many were dispatched."""
    leases.requeue(leases.expired(), "its worker vanished")
    sent = 0
    for job in Job.objects.filter(_due(), state=JobState.QUEUED).order_by("id"):
        if not dispatch(job):
            break  # the broker is away: no need to wait for it once a job
        sent += 1
    return sent


def _due() -> Q:
    """Select queued jobs that were never sent, or sent a grace ago. The grace doubles, so that a backlog stays small."""
    due = Q(dispatches=0)
    for doublings in range(_LONGEST_WAIT + 1):
        count = Q(dispatches=doublings + 1) if doublings < _LONGEST_WAIT else Q(dispatches__gt=doublings)
        due |= count & Q(dispatched_at__lt=leases.from_now(-settings.R3AL_JOB_GRACE_SECONDS * 2**doublings))
    return due
