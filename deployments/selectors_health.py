"""Reads of what health judges: people's values by epoch, latencies by the minute, of both arms since the last deployment."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from django.db.models import Sum
from django.utils import timezone

from deployments.engine.bets import Blocks, Series
from deployments.engine.health import Arm, Evidence, Holdback, Latency
from deployments.models import Deployment, EvidenceUnit, LatencyMinute, ServingSlot
from deployments.selectors import slot_for
from loops.engine.spec import LoopSpec
from privacy.engine.layout import MAIN_HEAD
from training.models import ModelVersion

EPOCH = timedelta(days=7)  # within one, a person counts once; a new one lets late faults be seen
EPOCHS = 1_024  # room for the epochs of one deployment: nineteen years of weeks
_DEFAULT_STABILITY = 0.5  # reward scales; with the blueprint's scale of .10 this is its +-.05
_LATENCY_WINDOW = timedelta(hours=1)
_DAY = timedelta(days=1)
_BET_DAYS = 7  # latency bets begun earlier are left out: they have only lost since
_SETTLED = timedelta(seconds=90)  # a minute is over, and every web process has written what it counted


def last_deployment(slot: ServingSlot) -> Deployment | None:
    """The act since which things are as they are; both arms' epochs count from it."""
    return Deployment.objects.filter(slot=slot).order_by("-pk").first()


def epochs_begun(deployment: Deployment) -> int:
    """How many epochs of a deployment have begun; the first begins with it."""
    return 1 + max(0, (timezone.now() - deployment.created_at) // EPOCH)


def epoch_number(deployment: Deployment, epoch: int) -> int:
    """The number under which epoch 0, 1, ... of one deployment is stored; no other deployment uses it."""
    return deployment.pk * EPOCHS + epoch


def evidence_of(slot: ServingSlot, spec: LoopSpec) -> Evidence:
    """What is stored about the slot's stable version and its holdback since the last deployment."""
    deployment = last_deployment(slot)
    return Evidence(
        arm=_arm(slot, slot.stable, deployment),
        holdback=_holdback(slot, deployment),
        latency=_latency(slot),
        margin=spec.reward.stability_margin or _DEFAULT_STABILITY * spec.reward.scale,
    )


def _holdback(slot: ServingSlot, deployment: Deployment | None) -> Holdback | None:
    if slot.holdback is None:
        return None
    return Holdback(
        arm=_arm(slot, slot.holdback, deployment),
        blocks=Blocks.of_holdback(slot.holdback_bp),
        slow_minutes=_slow_minutes(slot, slot.holdback, deployment) if slot.head == MAIN_HEAD and deployment else None,
    )


def _arm(slot: ServingSlot, version: ModelVersion, deployment: Deployment | None) -> Arm:
    """In the order in which an epoch's units were written, so that a later one never moves an earlier one."""
    if deployment is None:
        return Arm(Series(np.zeros(0)), Series(np.zeros(0)), np.zeros(0))
    numbers = range(epoch_number(deployment, 0), epoch_number(deployment, epochs_begun(deployment)))
    units = list(
        EvidenceUnit.objects.filter(slot=slot, version=version, epoch__gte=numbers.start, epoch__lt=numbers.stop)
        .order_by("epoch", "pk")
        .values_list("epoch", "rated", "empathy_sum", "interventions", "harmful", "rewarded", "reward_sum")
    )
    return Arm(
        empathy=_series([(u[0], u[2] / u[1]) for u in units if u[1]], numbers),
        false_intervention=_series([(u[0], u[4] / u[3]) for u in units if u[3]], numbers),
        reward=np.array([u[6] / u[5] for u in units if u[5]]),
    )


def _series(values: Sequence[tuple[int, float]], epochs: Sequence[int], first: int = 1) -> Series:
    """Values of ascending epochs, with the index at which each epoch begins."""
    known = [epoch for epoch, _ in values]
    starts = tuple(bisect_left(known, epoch) for epoch in epochs)
    return Series(np.array([value for _, value in values]), starts, first)


def _latency(slot: ServingSlot) -> Latency:
    """Requests of the last hour, which the policy head's version answered; other heads go with it."""
    version = slot.stable if slot.head == MAIN_HEAD else slot_for(slot.loop, MAIN_HEAD).stable
    sums = LatencyMinute.objects.filter(
        loop=slot.loop, version=version, minute__gte=timezone.now() - _LATENCY_WINDOW
    ).aggregate(n=Sum("requests"), slow=Sum("over_200_ms"))
    return Latency(sums["n"] or 0, sums["slow"] or 0)


def _slow_minutes(slot: ServingSlot, holdback: ModelVersion, deployment: Deployment) -> tuple[Series, Series]:
    """Shares of requests over 250 ms of both arms, in the minutes in which both were answered; an epoch is a day."""
    now, began = timezone.now(), deployment.created_at
    days = range(1 + max(0, (now - began) // _DAY))[-_BET_DAYS:]
    ours, theirs = (_shares(slot, v, began + days[0] * _DAY, now - _SETTLED) for v in (slot.stable, holdback))
    both = [((minute - began) // _DAY, minute) for minute in sorted(ours.keys() & theirs.keys())]
    return (
        _series([(day, ours[minute]) for day, minute in both], days, days[0] + 1),
        _series([(day, theirs[minute]) for day, minute in both], days, days[0] + 1),
    )


def _shares(slot: ServingSlot, version: ModelVersion, since: datetime, until: datetime) -> dict[datetime, float]:
    rows = LatencyMinute.objects.filter(
        loop=slot.loop, version=version, minute__gte=since, minute__lt=until, requests__gt=0
    ).values_list("minute", "requests", "over_250_ms")
    return {minute: over / requests for minute, requests, over in rows}
