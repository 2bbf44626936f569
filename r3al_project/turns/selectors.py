"""Reads of turns."""

from __future__ import annotations

from core.errors import NotFound
from loops.models import Loop
from r3al_project.turns.models import Turn


def turn_get(pk: int) -> Turn:
    """One turn by id. Raises NotFound."""
    turn = Turn.objects.select_related("loop_version__loop").filter(pk=pk).first()
    if turn is None:
        raise NotFound(f"there is no turn {pk}; the admin lists the turns")
    return turn


def turn_running(*, loop: Loop) -> Turn | None:
    """The loop's turn that has not ended, of whichever version of the loop."""
    return Turn.objects.select_related("loop_version__loop").filter(loop=loop, outcome=Turn.Outcome.RUNNING).first()


def release_keys(turn: Turn) -> tuple[str, str]:
    """The keys of a turn's two releases: of the moments, and of the evaluation."""
    return f"turn-{turn.pk}-release", f"turn-{turn.pk}-evaluate"
