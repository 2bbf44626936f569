"""Record requests for a second operator in the Trust Vault, and tell operators of them."""

from __future__ import annotations

from typing import Any

from notices.services.record import notice_record, record_page
from privacy.models import Approval, ApprovalState, VaultKind
from privacy.selectors.approvals import state_of_approval
from privacy.services.vault.append import vault_append
from privacy.services.vault.commitments import text_digest
from privacy.services.vault.stored_rows import APPROVALS


def approval_record(approval: Approval) -> None:
    """Tell of a request that was just asked for or decided, and record it with both operators. Call it last."""
    _tell(approval)
    body: dict[str, Any] = {
        "approval": approval.pk, "loop": approval.loop.name, "act": approval.act, "state": approval.state,
        "actor": approval.asked_by, "reason": text_digest(approval.reason),
    }  # fmt: skip
    if approval.state != ApprovalState.WAITING:
        body |= {"second": approval.decided_by, "decision": text_digest(approval.decision), "made": approval.made}
    rows = APPROVALS.entries(Approval.objects.filter(pk=approval.pk))
    vault_append(kind=VaultKind.APPROVAL, body=body, rows=rows)


def _tell(approval: Approval) -> None:
    facts: dict[str, Any] = {"request": approval.pk, "act": approval.act, "asker": approval.asked_by}
    kind = "approval_waiting"
    if approval.state != ApprovalState.WAITING:
        kind, facts = (
            "approval_decided",
            facts | {"decided": state_of_approval(approval), "second": approval.decided_by},
        )
    notice_record(
        kind=kind,
        key=f"approval {approval.pk} {approval.state}",
        subject=approval.loop.name,
        facts=facts,
        link=record_page(approval),
    )
