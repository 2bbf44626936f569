"""The command lines of the platform's processes. Standard library only; Procfile and compose.yaml say the same."""

from __future__ import annotations

import sys
from pathlib import Path

from jobs.queues import MONITOR, QUEUES

_CELERY = (sys.executable, "-m", "celery", "--quiet", "--app", "r3al_project")


def web(port: int, host: str = "127.0.0.1", *, workers: int = 1) -> list[str]:
    """The web interface: granian, one process with a few threads; several (``workers``) are started again when one dies."""
    return [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", host, "--port", str(port),
        "--workers", str(workers), "--blocking-threads", "4", "--blocking-threads-idle-timeout", "600",
        "--workers-kill-timeout", "5s", "--no-ws",
        *(("--respawn-failed-workers",) if workers > 1 else ()), "--log-level", "warning", "r3al_project.wsgi:application",
    ]  # fmt: skip


def worker(*, concurrency: int = 2, pool: str = "prefork", queues: tuple[str, ...] = QUEUES) -> list[str]:
    """A Celery worker. Without gossip, mingling and heartbeats: the job rows hold what they would tell."""
    return [
        *_CELERY, "worker", "--pool", pool, "--concurrency", str(concurrency), "--queues", ",".join(queues),
        "--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip


def workers(*, concurrency: int = 2) -> dict[str, list[str]]:
    """The workers of one machine, by name: one for jobs that may take long, one for what watches over what serves."""
    return {
        "worker": worker(concurrency=concurrency, queues=tuple(q for q in QUEUES if q != MONITOR)),
        MONITOR: worker(concurrency=1, queues=(MONITOR,)),
    }


def beat() -> list[str]:
    """The scheduler, of which there must be exactly one. Its schedules are rows of the database."""
    return [*_CELERY, "beat", "--loglevel", "WARNING", "--pidfile="]


def manage(*arguments: str) -> list[str]:
    """``manage.py`` with the same interpreter."""
    return [sys.executable, str(Path(__file__).resolve().parents[2] / "manage.py"), *arguments]
