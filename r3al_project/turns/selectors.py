"""Read turns."""

from __future__ import annotations

from core.errors import NotFound
from loops.models import Loop
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
