"""Reads of what health judges: people's values by epoch, latencies by the minute, of both arms since the last deployment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
from django.utils import timezone

from core.arrays import Floats
from deployments.engine.evidence.cohort_series import SPAN, CohortSeries
from deployments.engine.evidence.e_process import PairedBlocks
from deployments.engine.health import Arm, Evidence, Holdback, Latency
from deployments.models import Deployment, EvidenceUnit, LatencyMinute, ServingSlot
from deployments.selectors.slots import slot_for
from loops.engine.heads import MAIN_HEAD
from loops.engine.spec import LoopSpec
from loops.engine.thresholds import stability_margin
from training.models import ModelVersion

EPOCH = timedelta(days=7)  # within one, a person counts once; a new one lets late faults be seen
EPOCHS = 1_024  # room for the epochs of one deployment: nineteen years of weeks
OPEN_EPOCHS = 2  # the newest, into which units are still folded
SPANS_BEFORE = 3  # bets begun before these four-week spans are left out: what was proven then was acted on then
_SUMS = ("rated", "empathy_sum", "interventions", "harmful", "rewarded", "reward_sum")  # a count and its sum
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_BET_HOURS = 2  # this hour and the one before it: latency is judged as it is now
_BET_DAYS = 7
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
    weeks = _Weeks(deployment) if deployment is not None else None
    return Evidence(
        arm=weeks.of(slot.stable) if weeks else Arm(),
        holdback=_holdback(slot, deployment, weeks),
        latency=_latency(slot),
        margin=stability_margin(spec),
    )


def _holdback(slot: ServingSlot, deployment: Deployment | None, weeks: _Weeks | None) -> Holdback | None:
    if slot.holdback is None:
        return None
    return Holdback(
        arm=weeks.of(slot.holdback) if weeks else Arm(),
        blocks=PairedBlocks.of_holdback(slot.holdback_bp),
        slow_minutes=_slow_minutes(slot, slot.holdback, deployment) if deployment and slot.head == MAIN_HEAD else None,
    )


class _Weeks:
    """The epochs of a deployment in which the bets that are still looked at begin, the same for both arms."""

    def __init__(self, deployment: Deployment) -> None:
        begun = epochs_begun(deployment)
        self.slot = deployment.slot_id
        self.first = max(0, (begun - 1) // SPAN - SPANS_BEFORE) * SPAN
        self.closed = max(0, begun - OPEN_EPOCHS - self.first)
        self.numbers = range(epoch_number(deployment, self.first), epoch_number(deployment, begun))

    def of(self, version: ModelVersion) -> Arm:
        """In the order in which an epoch's units were written, so that a later one never moves an earlier one."""
        units = EvidenceUnit.objects.filter(
            slot=self.slot, version=version, epoch__gte=self.numbers.start, epoch__lt=self.numbers.stop
        ).order_by("epoch", "pk")
        table = np.array(list(units.values_list("epoch", "data_key_id", *_SUMS)), dtype=np.float64).reshape(
            -1, 2 + len(_SUMS)
        )
        return Arm(*(self._series(table[:, [0, 1, i, i + 1]]) for i in (2, 4, 6)))

    def _series(self, rows: Floats) -> CohortSeries:
        """Rows of epoch, person, count, sum: a value is a sum over its count, where anything was counted."""
        epochs, people, counts, sums = rows[rows[:, 2] > 0].T
        return CohortSeries(
            sums / counts, people.astype(np.int64), _starts(epochs, self.numbers), self.first + 1, self.closed
        )


def _starts(ascending: npt.ArrayLike, epochs: Sequence[int]) -> tuple[int, ...]:
    """The indices at which each of the epochs begins."""
    return tuple(int(i) for i in np.searchsorted(np.asarray(ascending), np.asarray(epochs)))


def _latency(slot: ServingSlot) -> Latency:
    """What the policy head's version answered in this hour of its deployment and the one before; other heads go with it."""
    main = slot if slot.head == MAIN_HEAD else slot_for(slot.loop, MAIN_HEAD)
    deployment = last_deployment(main)
    if deployment is None:
        return Latency()
    minutes = _Minutes(deployment, _HOUR, _BET_HOURS)
    rows = minutes.of(main.stable, "over_200_ms")
    requests, slow = (sum(row[i] for row in rows.values()) for i in (0, 1))
    return Latency(requests, slow, minutes.series(rows, sorted(rows)))


def _slow_minutes(
    slot: ServingSlot, holdback: ModelVersion, deployment: Deployment
) -> tuple[CohortSeries, CohortSeries]:
    """Shares of requests over 250 ms of both arms, in the minutes in which both were answered; an epoch is a day."""
    minutes = _Minutes(deployment, _DAY, _BET_DAYS)
    ours, theirs = (minutes.of(version, "over_250_ms") for version in (slot.stable, holdback))
    both = sorted(ours.keys() & theirs.keys())
    return minutes.series(ours, both), minutes.series(theirs, both)


class _Minutes:
    """The minutes of the last so many epochs of a deployment, each ``length`` long."""

    def __init__(self, deployment: Deployment, length: timedelta, last: int) -> None:
        self.loop, self.began, self.length = deployment.slot.loop_id, deployment.created_at, length
        self.until = timezone.now() - _SETTLED
        self.epochs = range(1 + max(0, (timezone.now() - self.began) // length))[-last:]

    def of(self, version: ModelVersion, slow: str) -> dict[datetime, tuple[int, int]]:
        """Requests and how many of them were slow, of each minute that is over."""
        since = self.began + self.epochs[0] * self.length
        rows = LatencyMinute.objects.filter(
            loop=self.loop, version=version, minute__gte=since, minute__lt=self.until, requests__gt=0
        )
        return {minute: (n, over) for minute, n, over in rows.values_list("minute", "requests", slow)}

    def series(self, rows: dict[datetime, tuple[int, int]], minutes: Sequence[datetime]) -> CohortSeries:
        """Shares of slow requests; no two minutes are of one unit."""
        shares = np.array([rows[minute][1] / rows[minute][0] for minute in minutes])
        epochs = [(minute - self.began) // self.length for minute in minutes]
        return CohortSeries(shares, None, _starts(epochs, self.epochs), self.epochs[0] + 1)
