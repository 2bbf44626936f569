"""Operators who decide about one request at once, and who ask for one act at once, in real processes on one PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from core.errors import Conflict
from deployments.models import Deployment
from loops.selectors import loop_version_current
from notices.models import Notice
from privacy.models import Approval, VaultEvent
from privacy.services.approvals.decide import approval_approve, approval_decline
from privacy.services.approvals.second_operator import OperatorAccount
from privacy.services.vault.adopt import vault_prepare
from privacy.services.vault.verify import vault_audit
from tests.factories.operators import guarded_loop, operator, outdated_version, override, waiting_override
from tests.fresh_database import create_tables
from tests.races import PROCESSES, in_processes, scenarios
from training.models import ModelVersion


def main() -> dict[str, Any]:
    create_tables()
    vault_prepare()
    guarded_loop()
    operators = [operator(f"operator-{i}") for i in range(PROCESSES + 1)]
    return scenarios(asked_at_once, approved_at_once, approved_while_others_decline, given=operators)


def _version() -> ModelVersion:
    return outdated_version(loop_version_current("care"))


def _outcome(act: Callable[[], Any], won: str) -> str:
    try:
        act()
        return won
    except Conflict:
        return "refused"


def books(version: ModelVersion, asked: Approval) -> dict[str, Any]:
    asked.refresh_from_db()
    return {
        "state": asked.state,
        "deployments": Deployment.objects.filter(version=version).count(),
        "told": Notice.objects.filter(key__startswith=f"approval {asked.pk} ").count(),
        "recorded": VaultEvent.objects.filter(kind="approval", body__approval=asked.pk).count(),
        "broken": vault_audit().broken,
    }


def asked_at_once(operators: list[OperatorAccount]) -> dict[str, Any]:
    """One operator's client sends the same request eight times."""
    version = _version()
    found = in_processes(lambda _: Counter([type(override(version, operators[0])).__name__]))
    asked = Approval.objects.filter(parameters__version=version.pk)
    return {"outcomes": found, "requests": asked.count()} | books(version, asked.earliest("pk"))


def approved_at_once(operators: list[OperatorAccount]) -> dict[str, Any]:
    """Eight other operators approve the same request."""
    version = _version()
    asked = waiting_override(version, operators[0])

    def work(process: int) -> Counter[str]:
        by = operators[1 + process]
        return Counter([_outcome(lambda: approval_approve(number=asked.pk, by=by), "approved")])

    return {"outcomes": in_processes(work)} | books(version, asked)


def approved_while_others_decline(operators: list[OperatorAccount]) -> dict[str, Any]:
    """Four operators approve what four others decline."""
    version = _version()
    asked = waiting_override(version, operators[0])

    def work(process: int) -> Counter[str]:
        by = operators[1 + process]
        if process % 2:
            return Counter([_outcome(lambda: approval_approve(number=asked.pk, by=by), "approved")])
        return Counter([_outcome(lambda: approval_decline(number=asked.pk, by=by, reason="no"), "declined")])

    return {"outcomes": in_processes(work)} | books(version, asked)
