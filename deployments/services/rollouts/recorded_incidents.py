"""Record in the Trust Vault that a version was taken back."""

from __future__ import annotations

from deployments.models import Incident, ServingSlot
from deployments.services.rollouts.recorded_rollouts import rollouts_entry
from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from privacy.services.vault.commitments import text_digest


def incident_record(incident: Incident, slot: ServingSlot, *, to: int, deployment: int) -> None:
    """Record an incident in the Trust Vault. Call it after the last change, because the chain's head is the last lock.

    Args:
        to: id of the version that serves afterwards.
        deployment: id of the deployment that the vault's event names.
    """
    vault_append(
        kind=VaultKind.ROLLBACK,
        body={
            "slot": str(slot), "version": incident.version_id, "to": to, "deployment": deployment, "incident": incident.pk,
            "automatic": incident.automatic, "harmful": incident.harmful, "actor": incident.actor,
            "reason": text_digest(incident.reason),
        },
        rows=rollouts_entry(slot.loop_id),
    )  # fmt: skip
