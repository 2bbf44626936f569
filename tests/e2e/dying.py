"""Imported by a real worker (``celery worker --include tests.e2e.dying``): it kills itself with SIGKILL where a plan says.

A plan is a folder with one file a death, ``STAGE.POINT`` or ``STAGE.POINT.NTH``. Points:

- ``report``: the handler's first report of progress (or its NTH), in the middle of computing;
- ``return``: computed, nothing of the finish written;
- ``write``: everything of the finish written, its transaction not yet committed.

Who removes the file dies, so each death happens once whoever runs the stage.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from celery.signals import worker_init

from jobs.handlers import JobContext
from r3al_project.turns.models import Turn

FOLDER = "R3AL_TEST_DEATHS"
Write = Callable[[], dict[str, Any]]


def plan(folder: Path, deaths: tuple[str, ...]) -> dict[str, str]:
    """Write a plan; returns the environment that tells a worker of it."""
    folder.mkdir()
    for death in deaths:
        (folder / death).touch()
    return {FOLDER: str(folder)}


def _die(death: str) -> None:
    try:
        (Path(os.environ[FOLDER]) / death).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(name: str, handler: Callable[[Turn, JobContext], Write]) -> Callable[[Turn, JobContext], Write]:
    def run(turn: Turn, context: JobContext) -> Write:
        write = handler(turn, _Reporting(name, context))  # type: ignore[arg-type]
        _die(f"{name}.return")

        def finish() -> dict[str, Any]:
            did = write()
            _die(f"{name}.write")
            return did

        return finish

    return run


class _Reporting:
    """A job's context whose reports may be the last."""

    def __init__(self, name: str, context: JobContext) -> None:
        self._name, self._context, self._reports = name, context, 0
        self.job_id = context.job_id

    def progress(self, fraction: float, message: str = "") -> None:
        self._context.progress(fraction, message)
        self._reports += 1
        _die(f"{self._name}.report.{self._reports}")
        if self._reports == 1:
            _die(f"{self._name}.report")


@worker_init.connect
def _arm(**_: Any) -> None:
    from r3al_project.turns.stages import STAGES

    for name, stage in STAGES.items():
        STAGES[name] = replace(stage, run=_dying(name, stage.run))
