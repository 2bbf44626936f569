"""Approve or decline, as the second operator, what another one asked for. An approved act is done in the same transaction."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Model

from core import clock
from core.errors import Conflict, Forbidden, InputError, NotFound
from core.sentences import clause
from privacy.models import Approval, ApprovalState
from privacy.models.approval import DECIDE_APPROVAL
from privacy.selectors.approvals import EXPIRED, approval_get, state_of_approval
from privacy.services.approvals.accounts import account_with
from privacy.services.approvals.doors import ApprovedDoor, door_named
from privacy.services.approvals.recorded_approvals import approval_record
from privacy.services.approvals.second_operator import OperatorAccount, approved

LONGEST_DECISION = 500  # characters


def approval_check(*, approval: Approval, by: OperatorAccount) -> ApprovedDoor:
    """Check that an account may approve a request now, whatever state its act finds. Returns the door of the act.

    Raises: Conflict for a request that is decided or expired. Forbidden for whoever asked, and without the permissions.
    """
    _open_check(approval)
    door = door_named(approval.door)
    account = account_with(by.account, (DECIDE_APPROVAL, *door.permissions))
    if account.pk == approval.asked_by_account or account.get_username() == approval.asked_by:
        raise Forbidden(f"you asked for {approval} yourself; another operator has to approve it")
    return door


def approval_approve(*, number: int, by: OperatorAccount, reason: str = "") -> Approval:
    """Do what a request asks for. Approving again what one has approved changes nothing.

    Raises: NotFound for an unknown request. Forbidden and Conflict as ``approval_check``. Conflict also if the act no longer
        applies; then nothing is done.
    """
    found = approval_get(number)
    if _is_approved_by(found, by):
        return found
    with approval_check(approval=found, by=by).around(found.parameters), transaction.atomic():
        return _approve(number, by, reason)


def _approve(number: int, by: OperatorAccount, reason: str) -> Approval:
    held = _locked(number)
    if _is_approved_by(held, by):
        return held
    door = approval_check(approval=held, by=by)
    made = _carry_out(held, door, by)
    return _decided(held, ApprovalState.APPROVED, by, reason, made=f"{made._meta.verbose_name} {made.pk}")


def _carry_out(held: Approval, door: ApprovedDoor, by: OperatorAccount) -> Model:
    try:
        account_with(held.asked_by_account, door.permissions)
        with approved(held, by=by.name):
            return door.carry_out(held.parameters, OperatorAccount(held.asked_by, held.asked_by_account), held.reason)
    except (Conflict, Forbidden, InputError, NotFound) as error:
        raise Conflict(
            f"{held} no longer applies: {clause(str(error))}. Nothing was done; decline it, and ask anew if it is still wanted"
        ) from error


@transaction.atomic
def approval_decline(*, number: int, by: OperatorAccount, reason: str) -> Approval:
    """Decide that an act is not done. Whoever asked for it may decline it, too.

    Raises: NotFound for an unknown request. InputError without a reason. Forbidden without the permission. Conflict for a request
        that is decided or expired.
    """
    if not reason.strip():
        raise InputError(
            "declining a request needs a reason; give one, and it is stored with the request", field="reason"
        )
    held = _locked(number)
    _open_check(held)
    account_with(by.account, (DECIDE_APPROVAL,))
    return _decided(held, ApprovalState.DECLINED, by, reason)


def _locked(number: int) -> Approval:
    list(Approval.objects.select_for_update(no_key=True).filter(pk=number))
    return approval_get(number)


def _open_check(approval: Approval) -> None:
    state = state_of_approval(approval)
    if state == EXPIRED:
        raise Conflict(f"{approval} expired at {approval.expires_at:%Y-%m-%d %H:%M} UTC and is never done; ask anew")
    if state != ApprovalState.WAITING:
        raise Conflict(f"{approval} was {state} by {approval.decided_by} already; nothing was done now")


def _is_approved_by(approval: Approval, by: OperatorAccount) -> bool:
    return approval.state == ApprovalState.APPROVED and approval.decided_by_account == by.account


def _decided(held: Approval, state: ApprovalState, by: OperatorAccount, reason: str, made: str = "") -> Approval:
    held.state, held.decided_by, held.decided_by_account = state, by.name, by.account
    held.decided_at, held.decision, held.made = clock.now(), reason.strip()[:LONGEST_DECISION], made
    held.save()
    approval_record(held)
    return held
