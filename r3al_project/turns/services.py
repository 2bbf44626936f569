"""The loop as a whole: a turn passes through its stages, each a job that queues the next in the transaction that ends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils import timezone

from loops.models import LoopVersion
from r3al_project.common.errors import Conflict, InputError
from r3al_project.jobs.models import Job
from r3al_project.jobs.services import job_enqueue
from r3al_project.turns.models import Turn, TurnStage

STAGES = ("collect", "release", "synthesize", "train", "evaluate", "deploy")


@transaction.atomic
def turn_start(*, loop_version: LoopVersion, parameters: dict[str, Any]) -> Turn:
    """Begin a turn with its first stage queued.

    parameters: ``head``, ``epsilon``, ``delta``, ``seed``; and ``source`` with ``consents`` when a file is to be collected.
    Raises Conflict when a turn of this loop is running.
    """
    if parameters["head"] not in [h.name for h in loop_version.spec.heads]:
        raise InputError(f"{loop_version} has no head {parameters['head']!r}")
    running = Turn.objects.filter(loop_version=loop_version, outcome=Turn.Outcome.RUNNING).first()
    if running is not None:
        raise Conflict(f"{running} is still running; wait for it or cancel its job in the admin")
    turn = Turn.objects.create(loop_version=loop_version, parameters=parameters)
    _stage_enqueue(turn, STAGES[0])
    return turn


def stage_finish(*, turn: Turn, name: str, job: Job, write: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run a stage's write, keep what it did, and queue the next stage. Called inside the job's finishing transaction."""
    summary = write()
    seconds = (timezone.now() - job.started_at).total_seconds() if job.started_at else None
    TurnStage.objects.filter(turn=turn, name=name).update(summary=summary, seconds=seconds)
    following = STAGES.index(name) + 1
    if following < len(STAGES):
        _stage_enqueue(turn, STAGES[following])
    else:
        _turn_end(turn, Turn.Outcome.DEPLOYED if summary["deployed"] else Turn.Outcome.KEPT, summary["reason"])
    return summary


def turn_settle(*, turn: Turn) -> Turn:
    """End a turn whose current job failed or was cancelled; a turn that goes on is left alone."""
    stage = turn.stages.select_related("job").order_by("-id").first()
    if turn.outcome == Turn.Outcome.RUNNING and stage is not None and stage.job.state in ("failed", "cancelled"):
        reason = stage.job.error or "cancelled by an operator"
        _turn_end(turn, Turn.Outcome.FAILED, f"{stage.name}: {reason}")
    turn.refresh_from_db()
    return turn


def turns_settle() -> int:
    """Settle every running turn (beat); returns how many ended."""
    running = Turn.objects.filter(outcome=Turn.Outcome.RUNNING)
    return sum(turn_settle(turn=turn).outcome != Turn.Outcome.RUNNING for turn in running)


def _stage_enqueue(turn: Turn, name: str) -> None:
    job = job_enqueue(kind=f"turn.{name}", arguments={"turn": turn.pk}, key=f"turn-{turn.pk}-{name}")
    TurnStage.objects.get_or_create(turn=turn, name=name, defaults={"job": job})


def _turn_end(turn: Turn, outcome: Turn.Outcome, reason: str) -> None:
    Turn.objects.filter(pk=turn.pk, outcome=Turn.Outcome.RUNNING).update(
        outcome=outcome, reason=reason, finished_at=timezone.now()
    )
