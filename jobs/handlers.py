"""Register the handler of each job kind, and define the context that a handler receives."""

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
    """Report a job kind that no task module of this installation registers."""


@dataclass(frozen=True)
class JobKind:
    """Pair a registered handler with its queue and soft time limit."""

    run: Handler
    queue: str
    soft_limit_seconds: int


_KINDS: dict[str, JobKind] = {}


def handler(kind: str, *, queue: str = DEFAULT, soft_limit_seconds: int = HOUR) -> Callable[[Handler], Handler]:
    """Register a handler: it computes outside any transaction and returns the write function that completes the job.

    The write function runs in the transaction that ends the job, and takes effect at most once. It returns the job's result
    (JSON), and it may queue the next job. When a handler raises R3alError, the job fails with that text. After any other
    exception the job is retried, up to its maximum number of attempts. A job that exceeds the time limit fails.
    """

    def register(run: Handler) -> Handler:
        if kind in _KINDS:
            raise ValueError(f"two handlers are registered for jobs of kind {kind!r}; rename one of the kinds")
        _KINDS[kind] = JobKind(run, queue, soft_limit_seconds)
        return run

    return register


def kind_of(name: str) -> JobKind:
    """Find a registered job kind. An unknown name first loads the task modules of all apps.

    Raises: UnknownJobKind.
    """
    if name not in _KINDS:
        current_app.loader.import_default_modules()
    if name not in _KINDS:
        raise UnknownJobKind(name)
    return _KINDS[name]


class JobContext:
    """Give a handler access to its claimed job. ``arguments`` holds ids and plain parameters only."""

    def __init__(self, job_id: int, token: str, arguments: dict[str, Any], heartbeat: Heartbeat) -> None:
        self.job_id, self.arguments = job_id, arguments
        self._token, self._heartbeat = token, heartbeat
        self._written = -PROGRESS_SECONDS

    def progress(self, fraction: float, message: str = "") -> None:
        """Report progress from 0 to 1. Call this often: it is written at most once a second.

        Raises: JobCancelled, LeaseLost or TimeLimit. Do not catch them, because the job may write nothing afterwards.
        """
        self._heartbeat.check()
        now = time.monotonic()
        if now - self._written < PROGRESS_SECONDS:
            return
        self._written = now
        leases.extend(self.job_id, self._token, progress=min(max(fraction, 0.0), 1.0), message=message[:200])
