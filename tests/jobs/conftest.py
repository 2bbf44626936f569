"""Workers that know the tests' kinds of jobs, with leases so short that a lost worker is noticed within a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.queues import QUEUES
from r3al_project.processes import commands
from tests.factories import job_kinds as job_kinds  # registers them in this process too
from tests.stack import Stack, Worker

SHORT = {"R3AL_JOB_LEASE_SECONDS": "1", "R3AL_JOB_HEARTBEAT_SECONDS": "0.3", "R3AL_JOB_GRACE_SECONDS": "0.5"}


def worker_command(queues: tuple[str, ...] = QUEUES) -> list[str]:
    """A worker that knows ``tests.factories.job_kinds``."""
    return [*commands.worker(queues=queues), "--include", "tests.factories.job_kinds"]


class JobsWorker(Worker):
    """A real worker for the tests' kinds."""

    def __init__(self, env: dict[str, str], log: Path, queues: tuple[str, ...]) -> None:
        self._queues = queues
        super().__init__(env, log)

    def start(self) -> None:
        self._command = worker_command(self._queues)
        super().start()


@pytest.fixture
def short_leases(settings: Any) -> None:
    """The same short times in this process."""
    for name, value in SHORT.items():
        setattr(settings, name, float(value))


@pytest.fixture
def workers(
    stack: Stack, transactional_db: None, short_leases: None, tmp_path: Path
) -> Iterator[Callable[..., JobsWorker]]:
    """Starts real workers: ``workers(queues=("train",), R3AL_JOB_LEASE_SECONDS="4")``. Killed with the test."""
    started: list[JobsWorker] = []
    stack.clear_broker()

    def start(*, queues: tuple[str, ...] = QUEUES, **env: str) -> JobsWorker:
        log = tmp_path / f"worker-{len(started)}.log"
        started.append(JobsWorker({**stack.environment(), **SHORT, **env}, log, queues))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
