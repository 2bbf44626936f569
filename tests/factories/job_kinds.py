"""Kinds of jobs for the tests. Real workers load them too: ``celery worker --include tests.factories.job_kinds``.

What a job achieves is a row that its finishing write makes (a queued ``test.effect``), so effects can be counted.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from core.errors import InputError
from jobs.handlers import JobContext, handler
from jobs.models import Job
from jobs.services import job_enqueue, job_run
from tests.factories.leases import lease_ends

Write = Callable[[], dict[str, Any]]


def effects() -> int:
    """How many finishing writes were committed."""
    return Job.objects.filter(kind="test.effect").count()


def _write() -> dict[str, Any]:
    job_enqueue(kind="test.effect", arguments={})
    return {"pid": os.getpid()}


@handler("test.effect")
def effect(context: JobContext) -> Write:
    """Nothing: being there is what counts."""
    return dict


@handler("test.watches", queue="monitor")
def watches(context: JobContext) -> Write:
    """Looks at something that cannot wait."""
    return dict


@handler("test.steps")
def steps(context: JobContext) -> Write:
    """Computes for ``seconds``, reporting progress all the time."""
    begun, seconds = time.monotonic(), float(context.arguments.get("seconds", 0))
    while (passed := time.monotonic() - begun) < seconds:
        context.progress(passed / seconds, f"pid {os.getpid()}")
        time.sleep(0.02)
    return _write


@handler("test.silent", soft_limit_seconds=1)
def silent(context: JobContext) -> Write:
    """Computes for ``seconds`` and reports nothing; its limit is one second."""
    time.sleep(context.arguments["seconds"])
    return _write


@handler("test.refuses")
def refuses(context: JobContext) -> Write:
    """Cannot use what it was given."""
    raise InputError("the file is empty; give one with rows")


@handler("test.refuses_to_write")
def refuses_to_write(context: JobContext) -> Write:
    """Learns in the middle of writing that it cannot be done."""

    def write() -> dict[str, Any]:
        _write()
        raise InputError("the slot is taken; free it first")

    return write


@handler("test.breaks")
def breaks(context: JobContext) -> Write:
    """Has a fault, whose text holds something that is nobody's business; works from start ``works_at`` on."""
    if Job.objects.get(pk=context.job_id).attempts < context.arguments.get("works_at", 99):
        raise RuntimeError("mood 7 of anna@example.org")
    return _write


@handler("test.breaks_writing")
def breaks_writing(context: JobContext) -> Write:
    """Has its fault after the write."""

    def write() -> dict[str, Any]:
        return {"written": _write(), "ratio": 1 / context.arguments["divisor"]}

    return write


@handler("test.overtaken")
def overtaken(context: JobContext) -> Write:
    """Its first start computes for so long that another worker takes it over, and ends it."""
    if Job.objects.get(pk=context.job_id).attempts == 1:
        lease_ends(context.job_id)
        job_run(context.job_id)
    return _write


@handler("test.dies")
def dies(context: JobContext) -> Write:
    """Its process is killed at every start."""
    os.kill(os.getpid(), signal.SIGKILL)
    return _write


@handler("test.sleepwalks")
def sleepwalks(context: JobContext) -> Write:
    """At its first start the whole process stops (until SIGCONT), as a machine that hangs does."""
    if Job.objects.get(pk=context.job_id).attempts == 1:
        context.progress(0.5, f"pid {os.getpid()}")
        os.kill(os.getpid(), signal.SIGSTOP)
    return _write


@handler("test.freezes_writing")
def freezes_writing(context: JobContext) -> Write:
    """The process of the first start stops in its transaction, with the job's row locked."""

    def write() -> dict[str, Any]:
        if Job.objects.get(pk=context.job_id).attempts == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        return _write()

    context.progress(0.1, f"pid {os.getpid()}")
    return write
