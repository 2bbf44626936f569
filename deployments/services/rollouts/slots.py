"""Serving slots: seeded with the declared reference, changed only by a conditional UPDATE on their generation."""

from __future__ import annotations

import secrets

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from core.errors import Conflict
from deployments.engine.rollouts.strategies import FULL_ROLLOUT
from deployments.engine.shares import BASIS_POINTS
from deployments.models import Deployment, DeploymentState, ServingSlot
from deployments.services.rollouts.exploration import exploration_with
from loops.models import Loop, LoopVersion
from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from training.models import ModelVersion, VersionState
from training.services.registry import reference_version

LONGEST_REASON = 500  # characters that the API takes and the vault keeps
HOLDBACK_BP = 500  # of the people, who go on with what served before, so that there is somebody to compare with


@transaction.atomic
def slots_seed(*, loop_version: LoopVersion) -> list[ServingSlot]:
    """Give every head of the loop a slot that serves its declared reference action. Existing slots are left as they are."""
    slots = []
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
        slots.append(slot)
    return slots


def slots_lock(loop: Loop) -> list[ServingSlot]:
    """Lock all slots of a loop, in order, until the transaction ends: a swap ends with the vault's head, and a slot locked after
    that could wait crosswise. Returns them as they are from then on.

    Nothing is joined: PostgreSQL leaves out a row whose join no longer holds once the lock was waited for.
    """
    return list(ServingSlot.objects.select_for_update(no_key=True).filter(loop=loop).order_by("pk"))


@transaction.atomic
def slot_swap(
    *,
    slot: ServingSlot,
    version: ModelVersion,
    actor: str,
    reason: str,
    holdback_bp: int = HOLDBACK_BP,
    override: str = "",
) -> Deployment:
    """Put ``version`` at once in front of everybody but a holdback (full rollout); what served before is archived.

    One transaction. Who is held back is drawn anew. What the loop explores follows (``exploration_with``); ``override`` is a
    reason that the vault keeps by itself. Raises Conflict when the slot changed since it was read, when a deployment is in
    progress, or when the version is not waiting to be deployed.
    """
    before = slot.stable
    if version == before:
        raise Conflict(f"{version} serves already; there is nothing to deploy")
    exploration = exploration_with(slot=slot, version=version)
    moved = ServingSlot.objects.filter(
        pk=slot.pk, generation=slot.generation, candidate__isnull=True, stable=slot.stable_id
    ).update(
        stable=version,
        holdback=before if holdback_bp else None,
        holdback_bp=holdback_bp,
        exploration_bp=exploration,
        salt=secrets.token_hex(16),
        generation=F("generation") + 1,
    )
    if not moved:
        raise Conflict(f"the slot {slot} changed meanwhile; look at what serves now and deploy again")
    ServingSlot.objects.filter(loop=slot.loop).exclude(exploration_bp=exploration).update(exploration_bp=exploration)
    _archive(before)
    taken = ModelVersion.objects.filter(pk=version.pk, state=VersionState.EVALUATING).update(
        state=VersionState.DEPLOYED
    )
    if not taken:
        raise Conflict(f"{version} is not evaluating, so it cannot be deployed; train a new version")
    return _recorded(slot, version, actor, reason, override)


def _recorded(slot: ServingSlot, version: ModelVersion, actor: str, reason: str, override: str) -> Deployment:
    """The deployment in the history and in the vault; ``slot`` as it was before."""
    made = Deployment.objects.create(
        slot=slot,
        version=version,
        previous_id=slot.stable_id,
        strategy=FULL_ROLLOUT,
        state=DeploymentState.SUCCEEDED,
        reason=reason,
        actor=actor,
        finished_at=timezone.now(),
    )
    vault_append(
        kind=VaultKind.DEPLOYMENT,
        body={
            "slot": str(slot), "version": version.pk, "weights": version.weights_sha256, "previous": slot.stable_id,
            "deployment": made.pk, "strategy": str(made.strategy), "actor": actor, "reason": reason[:LONGEST_REASON],
            **({"override": override} if override else {}),
        },
    )  # fmt: skip
    return made


@transaction.atomic
def slot_return(
    *, slot: ServingSlot, version: ModelVersion, taken_back: Deployment, actor: str, reason: str
) -> Deployment:
    """Take a slot back to ``version``, which served before; everybody, no holdback. Raises Conflict as ``slot_swap`` does."""
    leaving = slot.stable
    moved = ServingSlot.objects.filter(pk=slot.pk, generation=slot.generation, stable=leaving).update(
        stable=version, candidate=None, weight_bp=0, holdback=None, holdback_bp=0, generation=F("generation") + 1
    )
    if not moved:
        raise Conflict(f"the slot {slot} changed meanwhile; look at what serves now")
    _archive(leaving)
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
        finished_at=timezone.now(),
    )


def _archive(version: ModelVersion) -> None:
    """A learned version that no longer serves; the reference is never archived."""
    ModelVersion.objects.learned().filter(pk=version.pk).update(state=VersionState.ARCHIVED)
