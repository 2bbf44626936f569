"""Let an act pass only if its loop asks for no second operator, or if one approved exactly this act in exactly this state.

A service calls ``second_operator`` under its locks, right before the act. So an act that nobody approved is refused on every road
that leads there, and one that was approved is compared with what it is by now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from core.errors import Conflict
from loops.models import Loop
from loops.selectors import loop_versions_current
from privacy.models import Approval
from privacy.selectors.approvals import acts_guarded


@dataclass
class _Passing:
    """Hold an approved act that is being done, who approved it, and whether the act has asked for it by now."""

    approval: Approval
    by: str
    was_asked: bool = False


_APPROVED: ContextVar[_Passing | None] = ContextVar("approved", default=None)


@dataclass(frozen=True)
class OperatorAccount:
    """Name who acts. ``account`` is the number of their account, or None at a terminal where nobody has logged in."""

    name: str
    account: int | None


class SecondOperatorNeeded(Conflict):
    """Report that an act needs a second operator. ``seen`` is the state that the approval has to meet again."""

    def __init__(self, loop: Loop, act: str, seen: Mapping[str, Any]) -> None:
        super().__init__(
            f"loop {loop.name!r} asks for a second operator here ({act}); nothing was done, and nothing waits: "
            "ask on the training dashboard, by the API or by the command"
        )
        self.loop, self.act, self.seen = loop, act, dict(seen)


def second_operator(*, loop: Loop, act: str, seen: Mapping[str, Any], declared: Collection[str] | None = None) -> str:
    """Return the name of the operator who approved an act, or an empty text if the loop asks for none.

    Args:
        act: one of GUARDED_ACTS.
        seen: the state that the act depends on, as plain JSON.
        declared: the acts in the loop's present file, if it is at hand and the act costs nobody budget (None: they are read).
    Raises: SecondOperatorNeeded. Conflict if the state is no longer what was approved.
    """
    guarded = acts_guarded(loop) if declared is None else declared
    return second_required(loop=loop, act=act, seen=seen) if act in guarded else ""


def second_operator_of_people(*, population: str, act: str, seen: Mapping[str, Any]) -> str:
    """Return the name of the operator who approved an act on people, if a loop of their population asks for one."""
    current = [version for version in loop_versions_current() if version.loop.population == population]
    asking = next((v.loop for v in current if act in v.spec.approvals.second_operator), None)
    return second_required(loop=asking, act=act, seen=seen) if asking is not None else ""


def second_required(*, loop: Loop, act: str, seen: Mapping[str, Any]) -> str:
    """Return the name of the operator who approved an act that needs one.

    Raises: SecondOperatorNeeded. Conflict if the state is no longer what was approved.
    """
    held = _APPROVED.get()
    if held is None or (held.approval.loop_id, held.approval.act) != (loop.pk, act):
        raise SecondOperatorNeeded(loop, act, seen)
    if held.approval.seen != dict(seen):
        raise Conflict("the state in which it was asked for has changed since")
    held.was_asked = True
    return held.by


@contextmanager
def approved(approval: Approval, *, by: str) -> Iterator[None]:
    """Let one approved act pass. ``by``: the name of the second operator.

    Raises: Conflict afterwards for an act that needed no second operator, because it is then another act than the approved one,
        such as a cap that is lowered by now. Undo it.
    """
    passing = _Passing(approval, by)
    token = _APPROVED.set(passing)
    try:
        yield
    finally:
        _APPROVED.reset(token)
    if not passing.was_asked:
        raise Conflict("by now it needs no second operator, so the state in which it was asked for has changed since")


def second_words(second: str) -> str:
    """Return what the reason of an approved act says besides. Empty if there was no second operator."""
    return f"; approved by {second}" if second else ""
