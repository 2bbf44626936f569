"""Check the health of every slot that serves or tries a learned version, and take back a version that is proven harmful."""

from __future__ import annotations

import logging

from django.db import Error, transaction
from django.db.models import Q

from core import clock
from core.durations import RECORDS_KEPT
from core.errors import Conflict, R3alError
from deployments.engine.health.report import HealthReport, health_of
from deployments.models import EvidenceUnit, HealthCheck, LatencyMinute, ServingSlot, ShadowMinute
from deployments.selectors.health import EVIDENCE_KEPT, arms_compared, evidence_of
from deployments.selectors.slots import slots_in_use
from deployments.services.health.evidence import evidence_fold
from deployments.services.health.lived import lived_write
from deployments.services.rollouts.candidate_arm import candidate_stop
from deployments.services.rollouts.rollback import slot_rollback
from loops.selectors import loop_version_current
from training.models import ModelVersion

log = logging.getLogger(__name__)


def health_tick() -> int:
    """Check every slot that serves or tries a learned version. Delete checks, minutes and evidence past their retention.

    If one slot cannot be checked, the error is logged, the other slots are still checked, and the next tick tries again.

    Returns: the number of versions taken back.
    """
    now = clock.now()
    HealthCheck.objects.filter(created_at__lt=now - RECORDS_KEPT).delete()
    LatencyMinute.objects.filter(minute__lt=now - RECORDS_KEPT).delete()
    ShadowMinute.objects.filter(minute__lt=now - RECORDS_KEPT).delete()
    EvidenceUnit.objects.filter(closes_at__lt=now - EVIDENCE_KEPT).delete()
    slots = slots_in_use().select_related("loop", "stable__loop_version", "candidate__loop_version", "holdback")
    slots = slots.filter(Q(stable__in=ModelVersion.objects.learned()) | Q(candidate__isnull=False))
    return sum(_takes_back(slot) for slot in slots)


def _takes_back(slot: ServingSlot) -> bool:
    try:
        return health_check(slot=slot).acted
    except (R3alError, Error):
        log.exception("the health of slot %s could not be checked", slot)
        return False


def health_check(*, slot: ServingSlot) -> HealthCheck:
    """Record new evidence, compute the health of a slot's watched version and store it.

    A version is taken back in the same transaction if it is critical or a trigger fires.
    """
    spec, watched = loop_version_current(slot.loop.name).spec, arms_compared(slot).watched
    evidence_fold(slot=slot)
    evidence = evidence_of(slot, spec)
    health = health_of(evidence)
    lived_write(slot, evidence, health)
    try:
        return _store(slot, watched, health)
    except (
        Conflict
    ) as error:  # the slot changed during the check, so the result is about a version that is no longer deployed
        log.warning("the health of slot %s was not stored: %s", slot, error)
        return HealthCheck(slot=slot, version=watched, generation=slot.generation, state=health.state, metrics=[])


@transaction.atomic
def _store(slot: ServingSlot, watched: ModelVersion, health: HealthReport) -> HealthCheck:
    check = HealthCheck.objects.create(
        slot=slot,
        version=watched,
        generation=slot.generation,
        state=health.state,
        acted=health.must_roll_back,
        **health.as_json(),
    )
    if health.must_roll_back:
        _take_back(slot, reason=_reason(health), check=check)
    return check


def _take_back(slot: ServingSlot, *, reason: str, check: HealthCheck) -> None:
    """Take the watched version back for harm. Raises Conflict when the slot changed since it was read."""
    take_back = slot_rollback if slot.candidate is None else candidate_stop
    take_back(slot=slot, actor="health check", reason=reason, automatic=True, harmful=True, check=check)


def _reason(health: HealthReport) -> str:
    fired = [
        f"{t.name.replace('_', ' ')}" + (f" by {t.value:.0%}" if t.value is not None else "") + f" ({t.over})"
        for t in health.triggers
        if t.fires
    ]
    beyond = [m.name.replace("_", " ") for m in health.metrics if m.counts]
    critical = (
        [f"{len(beyond)} metrics are beyond their thresholds: {', '.join(beyond)}"]
        if health.state == "critical"
        else []
    )
    return "; ".join(critical + [f"trigger: {f}" for f in fired])
