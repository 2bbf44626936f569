"""Health: look at every slot that serves something learned, store the look, and take back what is proven to harm."""

from __future__ import annotations

import logging
from datetime import timedelta

import numpy as np
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from deployments.engine.health import Arm, Evidence, Health, Latency, health_of
from deployments.models import EvidenceUnit, HealthCheck, LatencyMinute, ServingSlot
from deployments.selectors import slot_for
from deployments.services.evidence import evidence_fold
from deployments.services.rollback import slot_rollback
from loops.engine.spec import LoopSpec
from loops.selectors import loop_version_current
from r3al_project.common.errors import Conflict
from training.models import ModelVersion, VersionKind

log = logging.getLogger(__name__)
KEPT = timedelta(days=90)
_LATENCY_WINDOW = timedelta(hours=1)
_DEFAULT_STABILITY = 0.5  # reward scales; with the blueprint's scale of .10 this is its +-.05


def health_tick() -> int:
    """Check every slot that serves a learned version; old checks are dropped. Returns how many versions were taken back."""
    HealthCheck.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    slots = ServingSlot.objects.select_related("loop", "stable__loop_version", "holdback").exclude(
        stable__kind=VersionKind.REFERENCE
    )
    return sum(health_check(slot=slot).acted for slot in slots)


def health_check(*, slot: ServingSlot) -> HealthCheck:
    """Fold new evidence, judge, store the look; a version that is critical, or worse by a proven trigger, goes back with it."""
    spec = loop_version_current(slot.loop.name).spec
    for version in (slot.stable, slot.holdback):
        if version is not None:
            evidence_fold(slot=slot, version=version)
    health = health_of(evidence_of(slot, spec))
    try:
        return _store(slot, health)
    except Conflict as error:  # somebody changed the slot meanwhile: this look is of something that serves no more
        log.warning("health of %s was not stored: %s", slot, error)
        return HealthCheck(slot=slot, version=slot.stable, generation=slot.generation, state=health.state, metrics=[])


@transaction.atomic
def _store(slot: ServingSlot, health: Health) -> HealthCheck:
    check = HealthCheck.objects.create(
        slot=slot,
        version=slot.stable,
        generation=slot.generation,
        state=health.state,
        acted=health.must_roll_back,
        **health.as_json(),
    )
    if health.must_roll_back:
        slot_rollback(
            slot=slot, actor="health check", reason=_reason(health), automatic=True, harmful=True, check=check
        )
    return check


def _reason(health: Health) -> str:
    fired = [f"{t.name.replace('_', ' ')} by {t.value:.0%}" for t in health.triggers if t.fires and t.value is not None]
    beyond = [m.name.replace("_", " ") for m in health.metrics if m.verdict == "beyond"]
    said = (
        [f"{len(beyond)} metrics are beyond their thresholds: {', '.join(beyond)}"]
        if health.state == "critical"
        else []
    )
    return "; ".join(said + [f"trigger: {f}" for f in fired]) or "a relative trigger was proven"


def evidence_of(slot: ServingSlot, spec: LoopSpec) -> Evidence:
    """What is stored about the slot's stable version and its holdback."""
    margin = spec.reward.stability_margin or _DEFAULT_STABILITY * spec.reward.scale
    return Evidence(
        arm=_arm(slot, slot.stable),
        holdback=None if slot.holdback is None else _arm(slot, slot.holdback),
        latency=_latency(slot, slot.stable),
        margin=margin,
    )


def _arm(slot: ServingSlot, version: ModelVersion) -> Arm:
    units = list(
        EvidenceUnit.objects.filter(slot=slot, version=version)
        .order_by("first_exposed_at", "person_id")
        .values_list("rated", "empathy_sum", "interventions", "harmful", "rewarded", "reward_sum")
    )
    return Arm(
        empathy=np.array([total / rated for rated, total, *_ in units if rated]),
        false_intervention=np.array([harmful / spoke for _, _, spoke, harmful, *_ in units if spoke]),
        reward=np.array([total / rewarded for *_, rewarded, total in units if rewarded]),
    )


def _latency(slot: ServingSlot, version: ModelVersion) -> Latency:
    """Requests of the last hour, which the policy head's version answered; other heads go with it."""
    if slot.head != "policy":
        version = slot_for(slot.loop, "policy").stable
    since = timezone.now() - _LATENCY_WINDOW
    sums = LatencyMinute.objects.filter(loop=slot.loop, version=version, minute__gte=since).aggregate(
        n=Sum("requests"), slow=Sum("over_200_ms"), slower=Sum("over_250_ms")
    )
    return Latency(sums["n"] or 0, sums["slow"] or 0, sums["slower"] or 0)
