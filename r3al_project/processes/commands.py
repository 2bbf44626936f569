"""Build the command lines of the platform's processes, as in Procfile and compose.yaml. Standard library only."""

from __future__ import annotations

import sys
from pathlib import Path

from jobs.queues import MONITOR, NOTICES, QUEUES

_CELERY = (sys.executable, "-m", "celery", "--quiet", "--app", "r3al_project")


def web(port: int, host: str = "127.0.0.1", *, workers: int = 1) -> list[str]:
    """Return the command of the web server, granian. With several ``workers``, granian restarts one that dies."""
    return [
        sys.executable, "-m", "granian", "--interface", "rsgi", "--host", host, "--port", str(port),
        "--workers", str(workers), "--workers-kill-timeout", "5s", "--no-ws",
        *(("--respawn-failed-workers",) if workers > 1 else ()), "--log-level", "warning", "r3al_project.rsgi:application",
    ]  # fmt: skip


def worker(name: str = "worker", *, queues: tuple[str, ...] = QUEUES) -> list[str]:
    """Return the command of a Celery worker: one process, which runs one task at a time.

    A pool of forked processes shares locks: one child that is killed or stopped while it holds one blocks all others for ever.
    Gossip, mingling and heartbeats are off, because job rows hold that state.
    """
    return [
        *_CELERY, "worker", "--pool", "solo", "--hostname", f"{name}@%h", "--queues", ",".join(queues),
        "--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip


def workers(*, concurrency: int = 2) -> dict[str, list[str]]:
    """Return the commands of one machine's workers, by name.

    Some are for long jobs, one monitors the deployed policies, and one tells operators, which waits for other machines.
    """
    alone = (MONITOR, NOTICES)
    others = tuple(queue for queue in QUEUES if queue not in alone)
    found = same_workers("worker", queues=others, number=concurrency)
    return found | {queue: worker(queue, queues=(queue,)) for queue in alone}


def same_workers(name: str, *, queues: tuple[str, ...], number: int) -> dict[str, list[str]]:
    """Return the commands of ``number`` workers that take from the same queues, by name."""
    names = [f"{name}-{i}" for i in range(1, number + 1)]
    return {each: worker(each, queues=queues) for each in names}


def beat() -> list[str]:
    """Return the command of the scheduler, which must run exactly once. Its schedules are rows in the database."""
    return [*_CELERY, "beat", "--loglevel", "WARNING", "--pidfile="]


def manage(*arguments: str) -> list[str]:
    """Return a ``manage.py`` command for the same interpreter."""
    return [sys.executable, str(Path(__file__).resolve().parents[2] / "manage.py"), *arguments]
