"""Read turns."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.errors import NotFound
from loops.models import Loop, LoopVersion
from r3al_project.turns.models import Turn


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
    """Return when the loop's next turn is due by its schedule, which may lie in the past. None: the loop has no schedule."""
    every = loop_version.spec.retrain_every_seconds
    if every is None:
        return None
    last = Turn.objects.filter(loop=loop_version.loop).order_by("-id").first()
    return (last.created_at if last else loop_version.created_at) + timedelta(seconds=every)
