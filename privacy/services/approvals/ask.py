"""Do an act at once, or write down that it waits for a second operator where its loop asks for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from django.db import transaction

from core import clock
from core.errors import Conflict
from loops.models import Loop
from privacy.models import Approval, ApprovalState
from privacy.selectors.approvals import approvals_in, days_to_decide
from privacy.services.approvals.accounts import account_with
from privacy.services.approvals.doors import door_named
from privacy.services.approvals.recorded_approvals import approval_record
from privacy.services.approvals.second_operator import OperatorAccount, SecondOperatorNeeded

Done = TypeVar("Done")


def act_or_ask(
    act: Callable[[], Done],
    *,
    door: str,
    words: str | Callable[[Mapping[str, Any]], str],
    parameters: Mapping[str, Any],
    by: OperatorAccount,
    reason: str,
) -> Done | Approval:
    """Do an act, or ask for a second operator. An act that is not possible now is refused, and nothing waits.

    Args:
        act: does it in one transaction, or leaves everything as it was and raises.
        door: the registered door that does it once it is approved. parameters: what that door needs, as plain JSON.
        words: what is done, in one sentence of the platform's words, or how to say it of the state that the act depends on.
        by: who acts. reason: why, as they typed it.
    Returns: what ``act`` returned, or the request that waits.
    Raises: what ``act`` raises. Conflict where a second operator is needed and ``by`` has no account. Forbidden for an account
        that may not do it.
    """
    try:
        return act()
    except SecondOperatorNeeded as needed:
        if by.account is None:
            raise Conflict(
                f"loop {needed.loop.name!r} asks for a second operator here ({needed.act}); say which account asks, "
                "with --account NAME"
            ) from None
        account_with(by.account, door_named(door).permissions)
        said = words if isinstance(words, str) else words(needed.seen)
        return _ask(needed, by.name, by.account, door=door, words=said, parameters=dict(parameters), reason=reason)


@transaction.atomic
def _ask(needed: SecondOperatorNeeded, name: str, account: int, **asked: Any) -> Approval:
    """Write the request down, or return the one of the same account that waits for the same."""
    loop = Loop.objects.select_for_update(no_key=True).get(pk=needed.loop.pk)  # two calls at once take turns
    same = {"loop": loop, "act": needed.act, "seen": needed.seen, "asked_by_account": account, **asked}
    for waiting in approvals_in(ApprovalState.WAITING).filter(loop=loop, asked_by_account=account):
        if all(getattr(waiting, field) == value for field, value in same.items()):
            return waiting
    days = days_to_decide(loop, needed.act)
    made = Approval.objects.create(asked_by=name, expires_at=clock.now() + timedelta(days=days), **same)
    approval_record(made)
    return made
