"""Build the command lines of the platform's processes, as in Procfile and compose.yaml. Standard library only."""

from __future__ import annotations

import sys
from pathlib import Path

from jobs.queues import MONITOR, QUEUES

_CELERY = (sys.executable, "-m", "celery", "--quiet", "--app", "r3al_project")


def web(port: int, host: str = "127.0.0.1", *, workers: int = 1) -> list[str]:
    """Return the command of the web server, granian. With several ``workers``, granian restarts one that dies."""
    return [
        sys.executable, "-m", "granian", "--interface", "rsgi", "--host", host, "--port", str(port),
        "--workers", str(workers), "--workers-kill-timeout", "5s", "--no-ws",
        *(("--respawn-failed-workers",) if workers > 1 else ()), "--log-level", "warning", "r3al_project.rsgi:application",
    ]  # fmt: skip


def worker(*, concurrency: int = 2, pool: str = "prefork", queues: tuple[str, ...] = QUEUES) -> list[str]:
    """Return the command of a Celery worker. Gossip, mingling and heartbeats are off, because job rows hold that state."""
    return [
        *_CELERY, "worker", "--pool", pool, "--concurrency", str(concurrency), "--queues", ",".join(queues),
        "--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip


def workers(*, concurrency: int = 2) -> dict[str, list[str]]:
    """Return the commands of one machine's workers, by name: one for long jobs, one for monitoring the deployed policies."""
    return {
        "worker": worker(concurrency=concurrency, queues=tuple(q for q in QUEUES if q != MONITOR)),
        MONITOR: worker(concurrency=1, queues=(MONITOR,)),
    }


def beat() -> list[str]:
    """Return the command of the scheduler, which must run exactly once. Its schedules are rows in the database."""
    return [*_CELERY, "beat", "--loglevel", "WARNING", "--pidfile="]


def manage(*arguments: str) -> list[str]:
    """Return a ``manage.py`` command for the same interpreter."""
    return [sys.executable, str(Path(__file__).resolve().parents[2] / "manage.py"), *arguments]
