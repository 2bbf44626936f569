"""Set the share of decisions that a loop explores: large until a learned version is deployed, and small afterwards.

Even without a deployment, it becomes small after the declared logging rounds. A loop has one share, stored in the slot of its
policy head. Its other slots store the same number.
"""

from __future__ import annotations

from django.db import transaction

from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment, ServingSlot
from deployments.selectors.slots import serving_now, slot_for
from loops.engine.heads import MAIN_HEAD
from loops.models import LoopVersion
from training.models import ModelVersion


def exploration_with(*, slot: ServingSlot, version: ModelVersion) -> int:
    """Return the basis points to explore once ``version`` replaces ``slot.stable``.

    A share that the version's turn requested comes first. Otherwise a new policy takes its loop's declared share. If an operator
    has lowered the present share, it is never raised unless a turn requests it.
    """
    requested, now = requested_share(version), slot.exploration_bp
    if requested is not None:
        return round(requested * BASIS_POINTS)
    if slot.head != MAIN_HEAD:
        return now
    declared = round(version.loop_version.spec.exploration * BASIS_POINTS)
    return min(declared, now) if now < round(_declared(slot.stable) * BASIS_POINTS) else declared


@transaction.atomic
def exploration_settle(*, loop_version: LoopVersion, turns: int) -> float:
    """Lower the explored share after a turn, once a version was deployed or the declared logging rounds are over.

    The new share is the larger of the loop's declared share and the shares that deployed versions requested. A lower share, as
    set by an operator, stays.

    Args:
        turns: the number of turns that the loop has had.
    Returns: the share explored from now on, in [0, 1].
    """
    spec, slot = loop_version.spec, slot_for(loop_version.loop, MAIN_HEAD)
    requested = [requested_share(version) or 0.0 for version in serving_now(loop_version).values()]
    settled = round(max(spec.exploration, *requested) * BASIS_POINTS)
    has_deployed = Deployment.objects.filter(slot=slot).exists()
    if (has_deployed or turns >= spec.logging_rounds) and slot.exploration_bp > settled:
        ServingSlot.objects.filter(loop=loop_version.loop).update(exploration_bp=settled)
        return settled / BASIS_POINTS
    return slot.exploration_bp / BASIS_POINTS


def requested_share(version: ModelVersion) -> float | None:
    """Return the explored share that the version's turn requested, or None to take its loop's declared share."""
    share = version.config.get("exploration")
    return None if share is None else float(share)


def _declared(version: ModelVersion) -> float:
    """Return the share with which this version was deployed, before any change by an operator."""
    spec, requested = version.loop_version.spec, requested_share(version)
    if not version.is_learned:
        return spec.exploration_before
    return spec.exploration if requested is None else requested
