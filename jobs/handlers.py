"""What a kind of job does: a registry of handlers, and the context that each is given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import current_app

from core.durations import HOUR
from jobs import leases
from jobs.heartbeat import Heartbeat
from jobs.queues import DEFAULT

Finish = Callable[[], dict[str, Any]]
Handler = Callable[["JobContext"], Finish]
PROGRESS_SECONDS = 1.0


class UnknownJobKind(Exception):
    """No task module of this installation registers the kind."""


@dataclass(frozen=True)
class JobKind:
    """A registered handler with its queue and soft time limit."""

    run: Handler
    queue: str
    soft_limit_seconds: int


_KINDS: dict[str, JobKind] = {}


def handler(kind: str, *, queue: str = DEFAULT, soft_limit_seconds: int = HOUR) -> Callable[[Handler], Handler]:
    """Register a handler: it computes outside any transaction and returns the write that finishes the job.

    That write runs in one transaction with the end of the job, at most once with effect; what it returns (JSON) is the job's
    result, and it may queue the next job. A handler that raises R3alError fails the job with that text; after any other
    exception the job is tried again, up to its bound of starts. A job fails when it takes longer than the limit.
    """

    def register(run: Handler) -> Handler:
        if kind in _KINDS:
            raise ValueError(f"two handlers are registered for jobs of kind {kind!r}")
        _KINDS[kind] = JobKind(run, queue, soft_limit_seconds)
        return run

    return register


def kind_of(name: str) -> JobKind:
    """The registered kind, the task modules of all apps loaded first. Raises UnknownKind."""
    if name not in _KINDS:
        current_app.loader.import_default_modules()
    if name not in _KINDS:
        raise UnknownJobKind(name)
    return _KINDS[name]


class JobContext:
    """A claimed job as its handler sees it. ``arguments`` are ids and plain parameters only."""

    def __init__(self, job_id: int, token: str, arguments: dict[str, Any], heartbeat: Heartbeat) -> None:
        self.job_id, self.arguments = job_id, arguments
        self._token, self._heartbeat = token, heartbeat
        self._written = -PROGRESS_SECONDS

    def progress(self, fraction: float, message: str = "") -> None:
        """Report progress (0 to 1; written at most once a second, so call it often).

        Raises JobCancelled, LeaseLost or TimeLimit: let them pass, nothing of the job shall be written any more.
        """
        self._heartbeat.check()
        now = time.monotonic()
        if now - self._written < PROGRESS_SECONDS:
            return
        self._written = now
        leases.extend(self.job_id, self._token, progress=min(max(fraction, 0.0), 1.0), message=message[:200])
