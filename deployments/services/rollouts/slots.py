"""Create serving slots with the declared reference, and change them only by a conditional UPDATE on their generation."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from core import clock
from core.errors import Conflict
from deployments.engine.rollouts.strategies import FULL_ROLLOUT
from deployments.engine.rollouts.transitions import ACTIVE_STATES
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import AbExperiment, Deployment, DeploymentState, ServingSlot
from deployments.services.rollouts.experiments import experiment_end
from deployments.services.rollouts.exploration import exploration_with
from deployments.services.rollouts.holdback import holdback_rotates
from deployments.services.rollouts.recorded_rollouts import rollouts_entry
from deployments.services.rollouts.rollout_notices import tell_ended, tell_started
from loops.models import Loop, LoopVersion
from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from privacy.services.vault.commitments import text_digest
from training.models import ModelVersion, VersionState
from training.services.versions import reference_version

LONGEST_REASON = 500  # characters that the API takes
HOLDBACK_BP = 500  # of the people, who stay on the version before, so that there is a group to compare with


@transaction.atomic
def slots_seed(*, loop_version: LoopVersion) -> list[ServingSlot]:
    """Give every head of the loop a slot that serves its declared reference action. Existing slots are left as they are."""
    slots, seeded = [], []
    for head in loop_version.spec.heads:
        slot = ServingSlot.objects.filter(loop=loop_version.loop, head=head.name).first()
        if slot is None:
            slot = ServingSlot.objects.create(
                loop=loop_version.loop,
                head=head.name,
                stable=reference_version(loop_version=loop_version, head=head.name),
                exploration_bp=round(loop_version.spec.exploration_before * BASIS_POINTS),
                salt=secrets.token_hex(16),
            )
            seeded.append(head.name)
        slots.append(slot)
    if seeded:
        body = {"loop": str(loop_version), "seeded": seeded}
        vault_append(kind=VaultKind.SLOT, body=body, rows=rollouts_entry(loop_version.loop_id))
    return slots


def slots_lock(loop: Loop) -> list[ServingSlot]:
    """Lock all slots of a loop until the transaction ends, and return them as they are under the lock.

    They are locked in order and before the Trust Vault's head, which a swap locks last. Another order could deadlock. No table is
    joined, because PostgreSQL drops a row whose join no longer holds after waiting for the lock.
    """
    return list(ServingSlot.objects.select_for_update(no_key=True).filter(loop=loop).order_by("pk"))


@transaction.atomic
def slot_swap(
    *,
    slot: ServingSlot,
    version: ModelVersion,
    strategy: str,
    actor: str,
    reason: str,
    holdback_bp: int = HOLDBACK_BP,
    rotates: bool | None = None,
    override: str = "",
) -> Deployment:
    """Deploy ``version`` at once to everybody except a holdback, and archive the version before.

    It is one transaction. The people in the holdback are drawn anew, and the loop's explored share is updated
    (``exploration_with``).

    Args:
        strategy: the rollout strategy that the history stores.
        holdback_bp: basis points of the people who stay on the version before.
        rotates: whether these people are drawn anew each week. None: in a small loop (``holdback_rotates``).
        override: a reason whose digest the Trust Vault stores in a field of its own.
    Raises: Conflict when the slot changed since it was read, when a deployment is in progress, or when the version is not in
        state evaluating.
    """
    before = slot.stable
    if version == before:
        raise Conflict(f"{version} is deployed already; there is nothing to do")
    exploration = exploration_with(slot=slot, version=version)
    updated = ServingSlot.objects.filter(
        pk=slot.pk,
        generation=slot.generation,
        candidate__isnull=True,
        shadow__isnull=True,
        stable=slot.stable_id,
    ).update(
        stable=version,
        holdback=before if holdback_bp else None,
        holdback_bp=holdback_bp,
        rotates=bool(holdback_bp) and (holdback_rotates(version) if rotates is None else rotates),
        exploration_bp=exploration,
        salt=secrets.token_hex(16),
        generation=F("generation") + 1,
    )
    if not updated:
        raise Conflict(f"the slot {slot} changed meanwhile; check which version is deployed now and deploy again")
    ServingSlot.objects.filter(loop=slot.loop).exclude(exploration_bp=exploration).update(exploration_bp=exploration)
    slot.exploration_bp = exploration
    archive(before)
    deployed = ModelVersion.objects.filter(pk=version.pk, state=VersionState.EVALUATING).update(
        state=VersionState.DEPLOYED
    )
    if not deployed:
        raise Conflict(f"{version} is not in state evaluating, so it cannot be deployed; train a new version")
    share_bp = BASIS_POINTS - holdback_bp
    return deployment_record(slot, version, strategy, actor, reason, override, share_bp=share_bp)


def deployment_record(
    slot: ServingSlot,
    version: ModelVersion,
    strategy: str,
    actor: str,
    reason: str,
    override: str = "",
    *,
    share_bp: int,
    frozen_policy: Mapping[str, Any] | None = None,
    active: bool = False,
    deadline_at: datetime | None = None,
) -> Deployment:
    """Record a deployment in the history and in the Trust Vault. ``slot`` is as it was before the change.

    Args:
        share_bp: of the people who get the version now, in basis points.
        frozen_policy: the terms under which the deployment began.
        active: whether the deployment is in progress and not complete. Its first stage begins with it.
        deadline_at: when it ends even if it has proved nothing.
    """
    now = clock.now()
    deployment = Deployment.objects.create(
        slot=slot,
        version=version,
        previous_id=slot.stable_id,
        strategy=strategy,
        state=DeploymentState.IN_PROGRESS if active else DeploymentState.SUCCEEDED,
        frozen_policy=dict(frozen_policy or {}),
        reason=reason,
        actor=actor,
        stage_began_at=now if active else None,
        stage_starts=[1] if active else [],
        deadline_at=deadline_at,
        finished_at=None if active else now,
    )
    tell_started(deployment, slot, share_bp)
    vault_append(
        kind=VaultKind.DEPLOYMENT,
        body={
            "slot": str(slot), "version": version.pk, "weights": version.weights_sha256, "previous": slot.stable_id,
            "deployment": deployment.pk, "strategy": strategy, "actor": actor, "reason": text_digest(reason),
            **({"override": text_digest(override)} if override else {}),
        },
        rows=rollouts_entry(slot.loop_id),
    )  # fmt: skip
    return deployment


@transaction.atomic
def slot_return(
    *, slot: ServingSlot, version: ModelVersion, taken_back: Deployment, actor: str, reason: str
) -> Deployment:
    """Return a slot to ``version`` for everybody, without a holdback. Raises Conflict when the slot changed since it was read."""
    leaving = slot.stable
    updated = ServingSlot.objects.filter(pk=slot.pk, generation=slot.generation, stable=leaving).update(
        stable=version,
        candidate=None,
        shadow=None,
        app_chooses=False,
        weight_bp=0,
        holdback=None,
        holdback_bp=0,
        rotates=False,
        generation=F("generation") + 1,
    )
    if not updated:
        raise Conflict(f"the slot {slot} changed meanwhile; check which version is deployed now")
    archive(leaving)
    _abort(slot)
    ModelVersion.objects.learned().filter(pk=version.pk).update(state=VersionState.DEPLOYED)
    return Deployment.objects.create(
        slot=slot,
        version=version,
        previous=leaving,
        strategy=FULL_ROLLOUT,
        state=DeploymentState.SUCCEEDED,
        rollback_of=taken_back,
        reason=reason,
        actor=actor,
        finished_at=clock.now(),
    )


def _abort(slot: ServingSlot) -> None:
    """Abort a rollout whose stable version is no longer deployed. ``slot`` is as it was before. A shadow is not archived.

    The incident says why. The rollout keeps the reason for which it began.
    """
    active = Deployment.objects.filter(slot=slot, state__in=ACTIVE_STATES).first()
    if active is None:
        return
    Deployment.objects.filter(pk=active.pk).update(state=DeploymentState.ABORTED, waits_for="", finished_at=clock.now())
    experiment_end(active, AbExperiment.State.STOPPED)
    if slot.candidate is not None:
        archive(slot.candidate)
    tell_ended(active, slot, slot.candidate or active.version, "the version that it was compared with was taken back")


def archive(version: ModelVersion) -> None:
    """Archive a learned version that is no longer deployed. A reference is never archived."""
    ModelVersion.objects.learned().filter(pk=version.pk).update(state=VersionState.ARCHIVED)
