"""What a kind of job does: a registry of handlers, and the context that each is given."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from r3al_project.common.errors import NotFound
from r3al_project.jobs import leases

Finish = Callable[[], dict[str, Any]]
Handler = Callable[["JobContext"], Finish]
PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class Kind:
    """A registered handler with its queue and soft time limit."""

    run: Handler
    queue: str
    soft_limit_seconds: int


_KINDS: dict[str, Kind] = {}


def handler(kind: str, *, queue: str = "default", soft_limit_seconds: int = 3600) -> Callable[[Handler], Handler]:
    """Register a handler: it computes outside any transaction and returns the write that finishes the job."""

    def register(run: Handler) -> Handler:
        _KINDS[kind] = Kind(run, queue, soft_limit_seconds)
        return run

    return register


def kind_of(name: str) -> Kind:
    """The registered kind; NotFound when no task module registers it."""
    from r3al_project.celery import app

    if name not in _KINDS:
        app.loader.import_default_modules()
    if name not in _KINDS:
        raise NotFound(f"no handler is registered for jobs of kind {name!r}; update the workers to this version")
    return _KINDS[name]


@dataclass
class JobContext:
    """A claimed job as its handler sees it. ``arguments`` are ids and plain parameters only."""

    job_id: int
    token: str
    arguments: dict[str, Any]
    soft_limit_seconds: int
    begun: float = field(default_factory=time.monotonic)
    _written: float = 0.0

    def progress(self, fraction: float, message: str = "") -> None:
        """Report progress (written at most once a second). Raises JobCancelled, LeaseLost or TimeLimit."""
        now = time.monotonic()
        if now - self.begun > self.soft_limit_seconds:
            raise leases.TimeLimit(f"the job passed its time limit of {self.soft_limit_seconds} s")
        if now - self._written < PROGRESS_SECONDS:
            return
        self._written = now
        leases.progress_write(self.job_id, self.token, fraction, message)

    @contextlib.contextmanager
    def fence(self) -> Iterator[None]:
        """A transaction for intermediate writes that first makes sure the lease is still ours. Raises LeaseLost."""
        with transaction.atomic():
            leases.hold(self.job_id, self.token)
            yield
