"""Record verdicts on rollouts in the Trust Vault: terms, facts and reasons, so that each can be computed again."""

from __future__ import annotations

from deployments.models import RolloutCheck
from deployments.services.rollouts.recorded_rollouts import rollouts_entry
from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from privacy.services.vault.record_checks import check_register
from privacy.services.vault.stored_rows import StoredRows

ROLLOUT_CHECKS = StoredRows(
    "rollout_check",
    (
        "pk", "created_at", "deployment_id", "generation", "stage", "closed_weeks", "step", "label", "reasons", "terms", "facts",
        "figures", "acted",
    ),
    lambda: RolloutCheck.objects.all(),
    is_named=True,
)  # fmt: skip
check_register(ROLLOUT_CHECKS)


def rollout_check_record(check: RolloutCheck) -> None:
    """Record a verdict that was just stored, after what was done because of it."""
    loop = check.deployment.slot.loop_id
    body = {"deployment": check.deployment_id, "check": check.pk, "step": check.step}
    rows = rollouts_entry(loop) | ROLLOUT_CHECKS.entries(RolloutCheck.objects.filter(pk=check.pk))
    vault_append(kind=VaultKind.SLOT, body=body, rows=rows)
