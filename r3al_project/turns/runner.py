"""Running a turn in this very process, stage after stage: no worker is needed, and one that is there does no harm."""

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
from r3al_project.turns.models import Turn
from r3al_project.turns.progress_view import ProgressView
from r3al_project.turns.services import turn_cancel, turn_settle

_POLL_SECONDS = 0.25


def turn_run(turn: Turn, *, say: Callable[[str], None]) -> Turn:
    """Run the stages that remain until the turn ends; a stage that a worker holds is waited for.

    Ctrl-C cancels the stage at hand and with it the turn; nothing of that stage is written.
    """
    shown = ""
    while (turn := turn_settle(turn=turn)).outcome == Turn.Outcome.RUNNING:
        stage = turn.stages.order_by("-id")[0]
        if stage.name != shown:
            shown = stage.name
            say(f"{shown} ...")
        try:
            job_run(stage.job_id)
            if Job.objects.filter(pk=stage.job_id, state=JobState.RUNNING).exists():
                jobs_reconcile()  # whoever holds it may have vanished, and there may be no beat to see it
                time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:
            _give_up(turn, stage.job_id)
    return turn


def turn_run_watched(turn: Turn, watcher: ProgressView) -> Turn:
    """The same with progress bars: a thread works, this one draws. Ctrl-C is seen at the next report of progress."""

    def work() -> None:
        try:
            turn_run(turn, say=lambda text: None)
        finally:
            connection.close()

    thread = threading.Thread(target=work, name=f"turn-{turn.pk}")
    thread.start()
    try:
        watcher.follow(Turn.objects.get(pk=turn.pk))
    except KeyboardInterrupt:
        _cancel(turn)
    thread.join()
    return turn_settle(turn=turn)


def _give_up(turn: Turn, job_id: int) -> None:
    """Cancel a turn whose job this process just stopped computing; one that a worker holds ends at its next progress."""
    _cancel(turn)
    job = Job.objects.get(pk=job_id)
    if job.state == JobState.RUNNING:
        leases.finish(job.pk, job.lease_token, JobState.CANCELLED)


def _cancel(turn: Turn) -> None:
    with contextlib.suppress(Conflict):  # it ended just now
        turn_cancel(turn=turn)
