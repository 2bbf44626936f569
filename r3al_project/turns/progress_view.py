"""Follow a turn in a terminal, with progress read from the job rows."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

from django.conf import settings
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from jobs.services import jobs_reconcile
from r3al_project.processes import commands
from r3al_project.processes.supervisor import Supervisor
from r3al_project.turns.models import Turn
from r3al_project.turns.services import turn_settle
from r3al_project.turns.stages import STAGES

_POLL_SECONDS = 0.25
_RECONCILE_SECONDS = 5.0


@contextlib.contextmanager
def worker_process() -> Iterator[None]:
    """Run one Celery worker as a child process while the context is open. A dead worker is restarted.

    A Ctrl-C while the worker stops is ignored: it would end this process before the worker. Call it in the main thread.
    """
    supervisor = Supervisor(patience=settings.R3AL_JOB_LEASE_SECONDS)
    supervisor.add("worker", commands.worker())
    supervisor.start()
    try:
        yield
    finally:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        supervisor.stop()
        signal.signal(signal.SIGINT, before)


class ProgressView:
    """Print progress to standard error, so that standard output holds only the result."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, highlight=False)

    def follow(self, turn: Turn) -> None:
        """Show each stage's progress until the turn ends, and dispatch jobs again whose message was lost.

        A terminal shows bars. A file or a pipe gets one line when a stage begins, at each quarter, and when it ends.
        """
        if not self.console.is_terminal:
            said: set[str] = set()
            self._watch(turn, lambda: self._tell(turn, said))
            return
        columns = (TextColumn("{task.description:<11}"), BarColumn(complete_style="cyan", finished_style="green"),
                   TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.fields[message]}"))  # fmt: skip
        with Progress(*columns, console=self.console, transient=False) as progress:
            bars = {s: progress.add_task(s, total=1.0, start=False, message="") for s in STAGES}
            self._watch(turn, lambda: self._draw(progress, bars, turn))

    def _watch(self, turn: Turn, show: Callable[[], None]) -> None:
        checked = time.monotonic()
        while turn_settle(turn=turn).outcome == Turn.Outcome.RUNNING:
            show()
            if time.monotonic() - checked > _RECONCILE_SECONDS:
                jobs_reconcile()
                checked = time.monotonic()
            time.sleep(_POLL_SECONDS)
        show()

    def _tell(self, turn: Turn, said: set[str]) -> None:
        """Print what has begun and ended since the last call."""
        for stage in turn.stages.select_related("job").order_by("id"):
            quarter = int(stage.job.progress * 4)
            lines = {f"{stage.name} ...": stage.job.started_at is not None}
            lines[f"{stage.name}: {quarter * 25}%"] = 0 < quarter < 4 and stage.job.finished_at is None
            if stage.job.seconds is not None:
                lines[f"{stage.name}: {stage.job.state} in {stage.job.seconds:.1f} s"] = True
            for line in (line for line, holds in lines.items() if holds and line not in said):
                said.add(line)
                self.say(line)

    def _draw(self, progress: Progress, bars: dict[str, TaskID], turn: Turn) -> None:
        for stage in turn.stages.select_related("job"):
            bar = bars[stage.name]
            job = stage.job
            if job.started_at and not progress.tasks[bar].started:
                progress.start_task(bar)
            done = job.state == "done"
            progress.update(bar, completed=1.0 if done else job.progress, message="" if done else job.message)
            if job.finished_at:
                progress.stop_task(bar)
