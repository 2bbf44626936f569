"""Set the share of decisions that a loop explores: large until a learned version is deployed, and small afterwards.

Even without a deployment, it becomes small once exploring is known to cost people reward, or after the declared number of turns
that decided nothing. A loop has one share, stored in the slot of its
policy head. Its other slots store the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from django.db import transaction

from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment, ServingSlot
from deployments.selectors.slots import serving_now, slot_for
from deployments.services.rollouts.recorded_rollouts import rollouts_entry
from loops.engine.heads import MAIN_HEAD
from loops.models import LoopVersion
from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from training.models import ModelVersion

ExplorationCause = Literal["deployed", "costs", "undecided"]


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


@dataclass(frozen=True)
class SettledExploration:
    """Hold the explored share before and after a turn, in [0, 1], and why it fell (None: it did not)."""

    before: float
    share: float
    cause: ExplorationCause | None = None


@transaction.atomic
def exploration_settle(
    *, loop_version: LoopVersion, undecided: int, cost: Sequence[float] | None = None
) -> SettledExploration:
    """Lower the explored share after a turn, if there is a cause. It never rises here.

    The causes: a version was deployed or tried; exploring costs people reward, by the posterior; the declared number of turns
    decided nothing. The new share is the larger of the loop's declared share and the shares that deployed versions requested. A
    lower share, as set by an operator, stays.

    Args:
        undecided: the number of turns so far that read outcomes and deployed nothing.
        cost: of exploring, a decision (mean, low, high), from the model gate. Its ``low`` is the .05 quantile.
    """
    spec, slot = loop_version.spec, slot_for(loop_version.loop, MAIN_HEAD)
    requested = [requested_share(version) or 0.0 for version in serving_now(loop_version).values()]
    settled = round(max(spec.exploration, *requested) * BASIS_POINTS)
    before = slot.exploration_bp / BASIS_POINTS
    cause = _cause(slot, undecided >= spec.logging_rounds, cost)
    if cause is None or slot.exploration_bp <= settled:
        return SettledExploration(before, before)
    ServingSlot.objects.filter(loop=loop_version.loop).update(exploration_bp=settled)
    vault_append(
        kind=VaultKind.SLOT,
        body={"loop": str(loop_version), "exploration_bp": settled, "cause": cause},
        rows=rollouts_entry(loop_version.loop_id),
    )
    return SettledExploration(before, settled / BASIS_POINTS, cause)


def _cause(slot: ServingSlot, is_over: bool, cost: Sequence[float] | None) -> ExplorationCause | None:
    if Deployment.objects.of_people().filter(slot=slot).exists():
        return "deployed"
    if cost is not None and cost[1] > 0:
        return "costs"
    return "undecided" if is_over else None


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
