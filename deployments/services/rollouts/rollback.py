"""Taking a version back, by the platform or by hand: one transaction, no queue, never to a version that did harm."""

from __future__ import annotations

from django.db import transaction

from core.errors import Conflict, InputError
from deployments.models import Deployment, DeploymentState, HealthCheck, Incident, ServingSlot
from deployments.selectors.slots import slot_of
from deployments.services.rollouts.slots import LONGEST_REASON, slot_return
from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from training.models import ModelVersion
from training.services.registry import reference_version


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
    """Back to what served before: the newest earlier version that never harmed, else the declared reference. That serves is the
    version of ``incident.deployment.rolled_back_by``.

    ``harmful``: a rollback never comes back to the version that is left. Raises InputError without a reason, Conflict when the
    slot changed since it was read or serves its reference, which has nothing to go back to.
    """
    if not reason.strip():
        raise InputError("a rollback needs a reason; it is kept with the incident")
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
    """Take a serving version back by hand. Raises as ``slot_rollback``, and Conflict when the version does not serve."""
    return slot_rollback(slot=_slot_served_by(version), actor=actor, reason=reason, automatic=False, harmful=harmful)


def rollback_check(version: ModelVersion) -> None:
    """Whether a version serves and can be taken back now. Raises Conflict."""
    _served_by(_slot_served_by(version))


def _slot_served_by(version: ModelVersion) -> ServingSlot:
    slot = slot_of(version)
    if slot.stable_id != version.pk:
        raise Conflict(f"{version} does not serve; {slot.stable} does")
    return slot


def _served_by(slot: ServingSlot) -> Deployment:
    """The deployment that put the slot's version there. Raises Conflict when it serves its reference."""
    found = Deployment.objects.filter(slot=slot, version=slot.stable, state=DeploymentState.SUCCEEDED).last()
    if not slot.stable.is_learned or found is None:
        raise Conflict(f"the slot {slot} serves its reference; there is nothing to take back")
    return found


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
