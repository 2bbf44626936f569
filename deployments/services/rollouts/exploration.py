"""How much of what is served is explored: much until something learned serves, little afterwards, and not for ever.

One share a loop, policy's; the other slots carry the same number.
"""

from __future__ import annotations

from django.db import transaction

from deployments.engine.shares import BASIS_POINTS
from deployments.models import Deployment, ServingSlot
from deployments.selectors.slots import serving_now, slot_for
from loops.engine.heads import MAIN_HEAD
from loops.models import LoopVersion
from training.models import ModelVersion


def exploration_with(*, slot: ServingSlot, version: ModelVersion) -> int:
    """Basis points to explore once ``version`` serves the slot in place of ``slot.stable``: what its turn asked for; else, with a
    new policy, what its loop declares. What an operator lowered below what served before stays lowered, unless a turn asks.
    """
    asked, now = asked_share(version), slot.exploration_bp
    if asked is not None:
        return round(asked * BASIS_POINTS)
    if slot.head != MAIN_HEAD:
        return now
    declared = round(version.loop_version.spec.exploration * BASIS_POINTS)
    return min(declared, now) if now < round(_declared(slot.stable) * BASIS_POINTS) else declared


@transaction.atomic
def exploration_settle(*, loop_version: LoopVersion, turns: int) -> float:
    """After a turn: once something was deployed, or the declared logging rounds have passed without, no more is explored than the
    loop declares or what serves asked for.

    ``turns``: how many the loop has had. Returns the share that is explored from now on. What an operator lowered stays lowered.
    """
    spec, slot = loop_version.spec, slot_for(loop_version.loop, MAIN_HEAD)
    asked = [asked_share(version) or 0.0 for version in serving_now(loop_version).values()]
    settled = round(max(spec.exploration, *asked) * BASIS_POINTS)
    ever = Deployment.objects.filter(slot=slot).exists()
    if (ever or turns >= spec.logging_rounds) and slot.exploration_bp > settled:
        ServingSlot.objects.filter(loop=loop_version.loop).update(exploration_bp=settled)
        return settled / BASIS_POINTS
    return slot.exploration_bp / BASIS_POINTS


def asked_share(version: ModelVersion) -> float | None:
    """What was asked to be explored once the version serves; None: what its loop declares."""
    asked = version.config.get("exploration")
    return None if asked is None else float(asked)


def _declared(version: ModelVersion) -> float:
    """The share that serving this version began with, unless somebody lowered it."""
    spec, asked = version.loop_version.spec, asked_share(version)
    if not version.is_learned:
        return spec.exploration_before
    return spec.exploration if asked is None else asked
