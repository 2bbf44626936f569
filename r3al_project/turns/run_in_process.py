"""Run a turn in this process, stage by stage. It needs no worker, and workers that are running do no harm."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from django.db import connection

from core.errors import Conflict
from jobs import leases
from jobs.models import Job, JobState
from jobs.services import job_run, jobs_reconcile
from r3al_project.turns.actors import terminal_actor
from r3al_project.turns.models import Turn
from r3al_project.turns.progress_view import ProgressView
from r3al_project.turns.services import turn_cancel, turn_settle

_POLL_SECONDS = 0.25


def turn_run(turn: Turn, *, say: Callable[[str], None]) -> Turn:
    """Run the remaining stages until the turn ends, and wait for a stage that a worker runs.

    Ctrl-C cancels the current stage and the turn. That stage writes nothing.
    """
    announced = ""
    while (turn := turn_settle(turn=turn)).outcome == Turn.Outcome.RUNNING:
        stage = turn.stages.order_by("-id")[0]
        if stage.name != announced:
            announced = stage.name
            say(f"{announced} ...")
        try:
            job_run(stage.job_id)
            if Job.objects.filter(pk=stage.job_id, state=JobState.RUNNING).exists():
                jobs_reconcile()  # the worker that runs it may be dead, and no beat may be running to notice
                time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:
            _abandon(turn, stage.job_id)
    return turn


def turn_run_watched(turn: Turn, view: ProgressView) -> Turn:
    """Run the remaining stages in a thread while this thread draws progress bars.

    Ctrl-C cancels the turn at its next report of progress.
    """

    def work() -> None:
        try:
            turn_run(turn, say=lambda text: None)
        finally:
            connection.close()

    thread = threading.Thread(target=work, name=f"turn-{turn.pk}")
    thread.start()
    try:
        view.follow(Turn.objects.get(pk=turn.pk))
    except KeyboardInterrupt:
        _cancel(turn)
    thread.join()
    return turn_settle(turn=turn)


def _abandon(turn: Turn, job_id: int) -> None:
    """Cancel a turn whose job this process has just stopped computing. A worker's job ends at its next report of progress."""
    _cancel(turn)
    job = Job.objects.get(pk=job_id)
    if job.state == JobState.RUNNING:
        leases.finish(job.pk, job.lease_token, JobState.CANCELLED)


def _cancel(turn: Turn) -> None:
    with contextlib.suppress(Conflict):  # the turn ended meanwhile
        turn_cancel(turn=turn, actor=terminal_actor())
