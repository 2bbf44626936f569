"""Roll back a deployed version, automatically or by hand, in one transaction and never to a harmful version.

A rollback that was no harm can be undone, as long as nothing else was deployed since.
"""

from __future__ import annotations

from django.db import transaction

from core.errors import Conflict, InputError
from deployments.engine.rollouts.strategies import BESIDE, FULL_ROLLOUT, STRATEGIES
from deployments.models import Deployment, DeploymentState, HealthCheck, Incident, ServingSlot
from deployments.selectors.slots import is_candidate, rollout_beside, rollout_in, slot_of
from deployments.services.rollouts.candidate_arm import candidate_stop
from deployments.services.rollouts.recorded_incidents import incident_record
from deployments.services.rollouts.rollout_notices import tell_incident
from deployments.services.rollouts.shadow import shadow_abort
from deployments.services.rollouts.slots import slot_return, slot_swap, slots_lock
from deployments.services.serving.policy_cache import policy_of_version
from loops.selectors import loop_version_current
from training.models import ModelVersion, VersionState
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
        actor=actor,
        automatic=automatic,
        harmful=harmful,
    )
    tell_incident(incident, slot, leaving, target)
    incident_record(incident, slot, to=target.pk, deployment=returned.pk)
    return incident


def version_rollback(*, version: ModelVersion, actor: str, reason: str, harmful: bool) -> Incident:
    """Roll back a deployed version by hand, or stop the rollout that tries it.

    Raises InputError without a reason, and Conflict when it is neither deployed nor tried.
    """
    if (test := rollout_beside(version)) is not None:
        return shadow_abort(rollout=test, actor=actor, reason=reason, harmful=harmful)
    if is_candidate(version):
        slot = slot_of(version)
        slot.candidate = version
        return candidate_stop(slot=slot, actor=actor, reason=reason, automatic=False, harmful=harmful)
    return slot_rollback(slot=_slot_served_by(version), actor=actor, reason=reason, automatic=False, harmful=harmful)


@transaction.atomic
def rollback_undo(*, incident: Incident, actor: str, reason: str) -> Deployment:
    """Deploy again what was rolled back without harm, to everybody except the holdback.

    Raises: InputError without a reason. Conflict when the version was harmful, when it was only tried, or when something else
        was deployed since.
    """
    if not reason.strip():
        raise InputError("undoing a rollback needs a reason; give one, and it is stored with the deployment")
    undo_check(incident)
    slot = next(s for s in slots_lock(incident.slot.loop) if s.pk == incident.slot_id)
    slot.loop = incident.slot.loop
    _check_nothing_since(incident)
    version = incident.version
    restored = ModelVersion.objects.filter(pk=version.pk, state=VersionState.ARCHIVED)
    if not restored.update(state=VersionState.EVALUATING):
        raise Conflict(f"{version} is not archived; check which version is deployed now")
    return slot_swap(
        slot=slot, version=version, strategy=FULL_ROLLOUT, actor=actor, reason=f"undoes {incident}: {reason.strip()}"
    )


def undo_check(incident: Incident) -> None:
    """Check that a rollback can be undone, and that the version still fits the loop. Raises Conflict."""
    version = incident.version
    if Incident.objects.filter(version=version, harmful=True).exists():
        raise Conflict(f"{version} was rolled back for harm; it is never deployed again")
    if incident.deployment.strategy != FULL_ROLLOUT:
        raise Conflict(f"{version} was only tried and is not what served; start another turn, or retry its rollout")
    _check_nothing_since(incident)
    policy_of_version(version, loop_version_current(incident.slot.loop.name))


def _check_nothing_since(incident: Incident) -> None:
    """Check that the rollback is the last change of its slot, and that no version decides beside it. Raises Conflict."""
    if (active := rollout_in(incident.slot)) is not None and active.strategy in BESIDE:
        raise Conflict(f"the {STRATEGIES[active.strategy].label} of {active.version} is in progress; abort it first")
    last = Deployment.objects.of_people().filter(slot=incident.slot_id).order_by("-pk").first()
    if last is None or last.rollback_of_id != incident.deployment_id:
        raise Conflict(
            f"something else was deployed since {incident}; deploy a version that was judged against the deployed one"
        )


def rollback_check(version: ModelVersion) -> None:
    """Check that a version is deployed and can be rolled back, or that a rollout tries it. Raises Conflict."""
    if is_candidate(version) or rollout_beside(version) is not None:
        return
    _served_by(_slot_served_by(version))


def _slot_served_by(version: ModelVersion) -> ServingSlot:
    slot = slot_of(version)
    if slot.stable_id != version.pk:
        raise Conflict(f"{version} is not deployed; {slot.stable} serves the slot {slot}")
    return slot


def _served_by(slot: ServingSlot) -> Deployment:
    """Return the deployment of the slot's present version. Raises Conflict when the slot serves its reference."""
    served = Deployment.objects.of_people().filter(slot=slot, version=slot.stable)
    deployment = served.filter(state=DeploymentState.SUCCEEDED).last()
    if not slot.stable.is_learned or deployment is None:
        raise Conflict(f"the slot {slot} serves its reference; there is nothing to roll back")
    return deployment


def _target(slot: ServingSlot, leaving: ModelVersion) -> ModelVersion:
    harmed = Deployment.objects.filter(slot=slot, harmful=True).values("version_id")
    before = (
        Deployment.objects.of_people()
        .filter(slot=slot, state=DeploymentState.SUCCEEDED)
        .exclude(version=leaving)
        .exclude(version_id__in=harmed)
        .order_by("-pk")
        .first()
    )
    target = before.version if before else reference_version(loop_version=leaving.loop_version, head=slot.head)
    return target.with_loop_version(leaving.loop_version)
