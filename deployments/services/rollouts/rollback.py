"""Roll back a deployed version, automatically or by hand, in one transaction and never to a harmful version."""

from __future__ import annotations

from django.db import transaction

from core.errors import Conflict, InputError
from deployments.models import Deployment, DeploymentState, HealthCheck, Incident, ServingSlot
from deployments.selectors.slots import slot_of
from deployments.services.rollouts.slots import LONGEST_REASON, slot_return
from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from training.models import ModelVersion
from training.services.versions import reference_version


@transaction.atomic
def slot_rollback(
    *,
    slot: ServingSlot,
    actor: str,
    reason: str,
    automatic: bool,
    harmful: bool,
    check: HealthCheck | None = None,
) -> Incident:
    """Roll a slot back to the newest earlier version that was never harmful, or else to the declared reference.

    ``incident.deployment.rolled_back_by`` of the returned incident holds the version that serves afterwards.

    Args:
        harmful: whether the version did harm. No later rollback returns to it then.
        check: the health check that caused an automatic rollback.
    Raises: InputError without a reason. Conflict when the slot changed since it was read, or serves its reference.
    """
    if not reason.strip():
        raise InputError("a rollback needs a reason; give one, and it is stored with the incident")
    leaving, deployment = slot.stable, _served_by(slot)
    target = _target(slot, leaving)
    returned = slot_return(slot=slot, version=target, taken_back=deployment, actor=actor, reason=reason)
    Deployment.objects.filter(pk=deployment.pk).update(state=DeploymentState.ROLLED_BACK, harmful=harmful)
    incident = Incident.objects.create(
        slot=slot,
        version=leaving,
        deployment=deployment,
        check_made=check,
        reason=reason,
        automatic=automatic,
        harmful=harmful,
    )
    vault_append(
        kind=VaultKind.ROLLBACK,
        body={
            "slot": str(slot), "version": leaving.pk, "to": target.pk, "deployment": returned.pk, "incident": incident.pk,
            "automatic": automatic, "harmful": harmful, "actor": actor, "reason": reason[:LONGEST_REASON],
        },
    )  # fmt: skip
    return incident


def version_rollback(*, version: ModelVersion, actor: str, reason: str, harmful: bool) -> Incident:
    """Roll back a deployed version by hand. Raises InputError without a reason, and Conflict when it is not deployed."""
    return slot_rollback(slot=_slot_served_by(version), actor=actor, reason=reason, automatic=False, harmful=harmful)


def rollback_check(version: ModelVersion) -> None:
    """Check that a version is deployed and can be rolled back. Raises Conflict."""
    _served_by(_slot_served_by(version))


def _slot_served_by(version: ModelVersion) -> ServingSlot:
    slot = slot_of(version)
    if slot.stable_id != version.pk:
        raise Conflict(f"{version} is not deployed; {slot.stable} serves the slot {slot}")
    return slot


def _served_by(slot: ServingSlot) -> Deployment:
    """Return the deployment of the slot's present version. Raises Conflict when the slot serves its reference."""
    deployment = Deployment.objects.filter(slot=slot, version=slot.stable, state=DeploymentState.SUCCEEDED).last()
    if not slot.stable.is_learned or deployment is None:
        raise Conflict(f"the slot {slot} serves its reference; there is nothing to roll back")
    return deployment


def _target(slot: ServingSlot, leaving: ModelVersion) -> ModelVersion:
    harmed = Deployment.objects.filter(slot=slot, harmful=True).values("version_id")
    before = (
        Deployment.objects.filter(slot=slot)
        .exclude(version=leaving)
        .exclude(version_id__in=harmed)
        .exclude(state=DeploymentState.ROLLED_BACK)
        .order_by("-pk")
        .first()
    )
    target = before.version if before else reference_version(loop_version=leaving.loop_version, head=slot.head)
    return target.with_loop_version(leaving.loop_version)
