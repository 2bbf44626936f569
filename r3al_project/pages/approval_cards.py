"""Cards of the training dashboard about acts that wait for a second operator."""

from __future__ import annotations

from typing import Any

from core.sentences import sentence
from privacy.models import ApprovalState
from privacy.selectors.approvals import approvals_in

_MOST = 20


def approval_cards() -> list[dict[str, Any]]:
    """Return a card for each of the newest requests that wait, with what speaks against what it asks for."""
    waiting = approvals_in(ApprovalState.WAITING)[:_MOST]
    return [{"approval": found, "objection": sentence(found.seen.get("objection", ""))} for found in waiting]
