"""Change a cap, or ask for a second operator where a loop of the person's population wants one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from privacy.models import Approval, PrivacyBudget
from privacy.models.budget import CHANGE_CAPS
from privacy.services.approvals.ask import act_or_ask
from privacy.services.approvals.doors import ApprovedDoor, door_register
from privacy.services.approvals.second_operator import OperatorAccount
from privacy.services.budget.caps import CapReason, cap_change


def cap_change_or_ask(
    *, person_id: int, window: str, cap: float, reason: CapReason, by: OperatorAccount
) -> PrivacyBudget | Approval:
    """Set one cap, or write down that it waits. Raises what ``cap_change`` and ``act_or_ask`` raise."""
    return act_or_ask(
        lambda: _change(person_id, window, cap, reason, by),
        door="cap",
        words=f"Raise the {window} cap of person {person_id} to {cap:.12g}.",
        parameters={"person": person_id, "window": window, "cap": cap, "reason": CapReason(reason).value},
        by=by,
        reason=CapReason(reason).label,
    )


def _change(person_id: int, window: str, cap: float, reason: CapReason, by: OperatorAccount) -> PrivacyBudget:
    return cap_change(person_id=person_id, window=window, cap=cap, reason=reason, actor=f"admin {by.account}")


def _carry_out(parameters: Mapping[str, Any], by: OperatorAccount, reason: str) -> PrivacyBudget:
    return _change(parameters["person"], parameters["window"], parameters["cap"], CapReason(parameters["reason"]), by)


door_register(ApprovedDoor("cap", (CHANGE_CAPS,), _carry_out))
