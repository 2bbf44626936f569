"""Serving slots: seeded with the declared reference, changed only by a conditional UPDATE on their generation."""

from __future__ import annotations

import secrets

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from deployments.models import Deployment, DeploymentState, ServingSlot, Strategy
from loops.models import LoopVersion
from r3al_project.common.errors import Conflict
from training.models import ModelVersion, VersionKind, VersionState
from training.services.registry import reference_version


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
                salt=secrets.token_hex(16),
            )
        slots.append(slot)
    return slots


@transaction.atomic
def slot_swap(*, slot: ServingSlot, version: ModelVersion, actor: str, reason: str) -> Deployment:
    """Put ``version`` at once in front of everybody (full rollout); what served before is archived, all in one transaction.

    Raises Conflict when the slot changed since it was read, when a deployment is in progress, or when the version is not
    waiting to be deployed.
    """
    moved = ServingSlot.objects.filter(
        pk=slot.pk, generation=slot.generation, candidate__isnull=True, stable=slot.stable_id
    ).update(stable=version, generation=F("generation") + 1)
    if not moved:
        raise Conflict(f"the slot {slot} changed meanwhile; look at what serves now and deploy again")
    ModelVersion.objects.filter(pk=slot.stable_id, kind=VersionKind.LINEAR_Q).update(state=VersionState.ARCHIVED)
    taken = ModelVersion.objects.filter(pk=version.pk, state=VersionState.EVALUATING).update(
        state=VersionState.DEPLOYED
    )
    if not taken:
        raise Conflict(f"{version} is not evaluating, so it cannot be deployed; train a new version")
    return Deployment.objects.create(
        slot=slot,
        version=version,
        previous_id=slot.stable_id,
        strategy=Strategy.FULL_ROLLOUT,
        state=DeploymentState.SUCCEEDED,
        reason=reason,
        actor=actor,
        finished_at=timezone.now(),
    )
