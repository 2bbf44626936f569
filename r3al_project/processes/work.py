"""Run workers for some queues until SIGTERM, each in a process of its own: ``python -m r3al_project.processes.work``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from django.core.exceptions import ImproperlyConfigured

from jobs.queues import QUEUES
from r3al_project.environment import lease_seconds
from r3al_project.processes import commands
from r3al_project.processes.supervisor import Supervisor

_GRACE_SECONDS = 50.0  # compose kills after 60


def work_main(arguments: Sequence[str] | None = None) -> int:
    """Start the workers, restart what dies, and stop them on SIGTERM or Ctrl-C. Returns an exit code."""
    parser = argparse.ArgumentParser(prog="work", description=__doc__)
    parser.add_argument("--queues", type=_queues, default=QUEUES, help=f"some of {','.join(QUEUES)} (default: all)")
    parser.add_argument("--concurrency", type=_number, default=1, help="number of workers (default: 1)")
    options = parser.parse_args(arguments)
    try:
        supervisor = Supervisor(grace=_GRACE_SECONDS, patience=lease_seconds(os.environ))
    except ImproperlyConfigured as error:
        print(f"work: {error}.", file=sys.stderr)  # noqa: T201
        return 1
    name = "-".join(options.queues)
    for each, argv in commands.same_workers(name, queues=options.queues, number=options.concurrency).items():
        supervisor.add(each, argv)
    supervisor.run()
    return 0


def _queues(given: str) -> tuple[str, ...]:
    names = tuple(given.split(","))
    if unknown := [name for name in names if name not in QUEUES]:
        raise argparse.ArgumentTypeError(f"there is no queue {unknown[0]!r}; the queues are {', '.join(QUEUES)}")
    return names


def _number(given: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"{given!r} is not a number of workers; give 1 or more")
    return int(given)


if __name__ == "__main__":
    sys.exit(work_main())
