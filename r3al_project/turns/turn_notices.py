"""Tell operators of a turn that failed, and of one that left a version waiting for them."""

from __future__ import annotations

from notices.services.record import notice_record, record_page
from r3al_project.turns.models import Turn


def turn_tell(turn: Turn, outcome: str) -> None:
    """Tell how a turn ended, where operators have something to do. An error's text is not told: it may quote a file."""
    if outcome not in (Turn.Outcome.FAILED, Turn.Outcome.WAITING):
        return
    stage = turn.stages.order_by("-pk").values_list("name", flat=True).first() or "start"
    failed = outcome == Turn.Outcome.FAILED
    notice_record(
        kind="turn_failed" if failed else "turn_waiting",
        key=f"turn {turn.pk} {outcome}",
        subject=turn.loop.name,
        facts={"turn": turn.pk, **({"stage": stage} if failed else {})},
        link=record_page(turn),
    )
