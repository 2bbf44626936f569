"""How much of what is served is explored: much until something learned serves, little afterwards, and not for ever."""

from __future__ import annotations

from django.db import transaction

from deployments.models import Deployment
from deployments.selectors import slot_for
from loops.models import LoopVersion
from privacy.engine.layout import MAIN_HEAD

BASIS_POINTS = 10_000


@transaction.atomic
def exploration_settle(*, loop_version: LoopVersion, turns: int) -> float:
    """After a turn: once the loop's declared logging rounds have passed without a deployment, exploring falls to ``exploration``.

    ``turns``: how many the loop has had. Returns the share that is explored from now on. What an operator lowered stays lowered.
    """
    spec, slot = loop_version.spec, slot_for(loop_version.loop, MAIN_HEAD)
    settled = round(spec.exploration * BASIS_POINTS)
    ever = Deployment.objects.filter(slot=slot).exists()
    if (ever or turns >= spec.logging_rounds) and slot.exploration_bp > settled:
        type(slot).objects.filter(loop=loop_version.loop, exploration_bp__gt=settled).update(exploration_bp=settled)
        return settled / BASIS_POINTS
    return slot.exploration_bp / BASIS_POINTS
