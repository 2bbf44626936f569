"""Read turns."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from core import clock
from core.durations import CLOCK_TOLERANCE
from core.errors import NotFound
from deployments.selectors.slots import rollout_with
from loops.models import Loop, LoopVersion
from r3al_project.turns.models import Turn
from training.models import ModelVersion, VersionState
from training.selectors.evidence import trial_has_passed


def turn_get(pk: int) -> Turn:
    """Return one turn by id. Raises NotFound."""
    turn = Turn.objects.select_related("loop_version__loop").filter(pk=pk).first()
    if turn is None:
        raise NotFound(f"there is no turn {pk}; the admin page Turns lists them all")
    return turn


def turn_running(*, loop: Loop) -> Turn | None:
    """Return the loop's running turn, of any version of the loop. None if no turn is running."""
    return Turn.objects.select_related("loop_version__loop").filter(loop=loop, outcome=Turn.Outcome.RUNNING).first()


def release_keys(turn: Turn) -> tuple[str, str]:
    """Return the keys of a turn's two releases: the moments and the evaluation."""
    return f"turn-{turn.pk}-release", f"turn-{turn.pk}-evaluate"


def turn_due_at(loop_version: LoopVersion) -> datetime | None:
    """Return when the loop's next turn is due by its schedule, which may lie in the past. None: the loop has no schedule.

    A last turn in the future was stored before the clock was set back. It is no evidence of a turn, so the next one is due now.
    """
    every = loop_version.spec.retrain_every_seconds
    if every is None:
        return None
    last = Turn.objects.filter(loop=loop_version.loop).order_by("-id").first()
    began, now = last.created_at if last else loop_version.created_at, clock.now()
    return now if began > now + CLOCK_TOLERANCE else began + timedelta(seconds=every)


def left_to_operators(turn: Turn) -> dict[str, dict[str, Any]]:
    """Return what a turn left to operators when it ended: for each head the version and its strategy."""
    stage = turn.stages.filter(name="deploy").first()
    return dict(stage.summary.get("waiting", {})) if stage is not None else {}


def still_waits(version: ModelVersion) -> bool:
    """Tell whether a version that was left to operators is neither deployed, nor archived, nor in a rollout that goes on."""
    if version.state != VersionState.EVALUATING:
        return False
    return rollout_with(version) is None or trial_has_passed(version)
