"""Read which acts on a loop need a second operator, and the requests that wait for one."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from core import clock
from core.errors import NotFound
from loops.models import Loop
from loops.selectors import loop_versions_current
from privacy.models import Approval, ApprovalState

EXPIRED = "expired"  # a state that follows from the time and is not stored
APPROVAL_STATES = (*ApprovalState.values, EXPIRED)
_OF_PEOPLE = frozenset({"epsilon", "cap"})  # whoever shares people with a loop that asks for them is asked, too


def acts_guarded(loop: Loop) -> frozenset[str]:
    """Return the acts on a loop that need a second operator, by the present loop files.

    What costs people budget is asked for in every loop of their population, if one of these loops declares it.
    """
    found = set[str]()
    for version in loop_versions_current():
        declared = frozenset[str](version.spec.approvals.second_operator)
        if version.loop_id == loop.pk:
            found |= declared
        elif version.loop.population == loop.population:
            found |= declared & _OF_PEOPLE
    return frozenset(found)


def days_to_decide(loop: Loop, act: str) -> int:
    """Return after how many days a request expires, by the present files of the loops that ask for it.

    It is the fewest days of these loops, and those of the loop itself for what no file names.
    """
    current = [version for version in loop_versions_current() if version.loop.population == loop.population]
    own = [version for version in current if version.loop_id == loop.pk]
    asking = [
        version for version in (current if act in _OF_PEOPLE else own) if act in version.spec.approvals.second_operator
    ]
    return min(version.spec.approvals.days for version in asking or own)


def approvals_all() -> QuerySet[Approval]:
    """Return all requests, newest first, with their loops."""
    return Approval.objects.select_related("loop").order_by("-pk")


def approvals_in(state: str) -> QuerySet[Approval]:
    """Return the requests in one state of APPROVAL_STATES, newest first."""
    found, now = approvals_all(), clock.now()
    if state == EXPIRED:
        return found.filter(state=ApprovalState.WAITING, expires_at__lte=now)
    if state == ApprovalState.WAITING:
        return found.filter(state=state, expires_at__gt=now)
    return found.filter(state=state)


def approval_get(number: int) -> Approval:
    """Return one request. Raises NotFound."""
    found = approvals_all().filter(pk=number).first()
    if found is None:
        raise NotFound(f"there is no request {number} for a second operator; list them with `manage.py approvals list`")
    return found


def state_of_approval(approval: Approval) -> str:
    """Return the state of a request, as one of APPROVAL_STATES."""
    is_late = approval.state == ApprovalState.WAITING and approval.expires_at <= clock.now()
    return EXPIRED if is_late else approval.state


def asks_sentences(loop: Loop, act: str) -> list[str]:
    """Return what an operator should know before an act that would wait, none where it would be done at once."""
    asked = "This loop asks for a second operator: nothing is done before another one approves it."
    return [asked] if act in acts_guarded(loop) else []


def waits_facts(approval: Approval) -> dict[str, Any]:
    """Return what a command prints as JSON about an act that waits."""
    return {"approval": approval.pk, "state": state_of_approval(approval), "reason": waits_sentence(approval)}


def waits_sentence(approval: Approval) -> str:
    """Say that an act was not done, and what it waits for."""
    until = f"{approval.expires_at:%Y-%m-%d %H:%M} UTC"
    return f"Nothing was done yet. It waits for a second operator as request {approval.pk}, until {until}: {approval.words}"
