"""Read the evidence of health checks: people's values by epoch and latencies by the minute, since the last deployment."""

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

EPOCH = timedelta(days=7)  # a person counts once in an epoch; tests of new epochs find late faults
EPOCHS = 1_024  # most epochs of one deployment, which is nineteen years of weeks
OPEN_EPOCHS = 2  # the newest epochs, which still receive evidence units
SPANS_BEFORE = 3  # tests from before these four-week spans are left out, because their proofs were acted on then
_SUMS = ("rated", "empathy_sum", "interventions", "harmful", "rewarded", "reward_sum")  # pairs of a count and its sum
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_METRIC_HOURS = 2  # this hour and the one before it, because the metric is about present latency
_TRIGGER_DAYS = 7
_SETTLED = timedelta(seconds=90)  # after this, every web process has written its counts of a past minute


def last_deployment(slot: ServingSlot) -> Deployment | None:
    """Return the slot's last deployment, from which the epochs of both arms are counted."""
    return Deployment.objects.filter(slot=slot).order_by("-pk").first()


def epochs_begun(deployment: Deployment) -> int:
    """Return how many epochs of a deployment have started. The first starts with the deployment."""
    return 1 + max(0, (timezone.now() - deployment.created_at) // EPOCH)


def epoch_number(deployment: Deployment, epoch: int) -> int:
    """Return the number that is stored for epoch 0, 1, ... of one deployment. No other deployment uses it."""
    return deployment.pk * EPOCHS + epoch


def evidence_of(slot: ServingSlot, spec: LoopSpec) -> Evidence:
    """Return the evidence about the slot's stable version and its holdback since the last deployment."""
    deployment = last_deployment(slot)
    weeks = _Epochs(deployment) if deployment is not None else None
    return Evidence(
        arm=weeks.of(slot.stable) if weeks else Arm(),
        holdback=_holdback(slot, deployment, weeks),
        latency=_latency(slot),
        margin=stability_margin(spec),
    )


def _holdback(slot: ServingSlot, deployment: Deployment | None, weeks: _Epochs | None) -> Holdback | None:
    if slot.holdback is None:
        return None
    return Holdback(
        arm=weeks.of(slot.holdback) if weeks else Arm(),
        blocks=PairedBlocks.of_holdback(slot.holdback_bp),
        slow_minutes=_slow_minutes(slot, slot.holdback, deployment) if deployment and slot.head == MAIN_HEAD else None,
    )


class _Epochs:
    """Select the epochs of a deployment in which the tests that are still in use started. Both arms use the same."""

    def __init__(self, deployment: Deployment) -> None:
        begun = epochs_begun(deployment)
        self.slot = deployment.slot_id
        self.first = max(0, (begun - 1) // SPAN - SPANS_BEFORE) * SPAN
        self.closed = max(0, begun - OPEN_EPOCHS - self.first)
        self.numbers = range(epoch_number(deployment, self.first), epoch_number(deployment, begun))

    def of(self, version: ModelVersion) -> Arm:
        """Return the version's values, in the order in which units were written, so that a new unit never reorders older ones."""
        units = EvidenceUnit.objects.filter(
            slot=self.slot, version=version, epoch__gte=self.numbers.start, epoch__lt=self.numbers.stop
        ).order_by("epoch", "pk")
        table = np.array(list(units.values_list("epoch", "data_key_id", *_SUMS)), dtype=np.float64).reshape(
            -1, 2 + len(_SUMS)
        )
        return Arm(*(self._series(table[:, [0, 1, i, i + 1]]) for i in (2, 4, 6)))

    def _series(self, rows: Floats) -> CohortSeries:
        """Build a series from rows (epoch, person, count, sum). A value is sum / count, and rows with count 0 are left out."""
        epochs, people, counts, sums = rows[rows[:, 2] > 0].T
        return CohortSeries(
            sums / counts, people.astype(np.int64), _starts(epochs, self.numbers), self.first + 1, self.closed
        )


def _starts(ascending: npt.ArrayLike, epochs: Sequence[int]) -> tuple[int, ...]:
    """Return the index at which each epoch begins."""
    return tuple(int(i) for i in np.searchsorted(np.asarray(ascending), np.asarray(epochs)))


def _latency(slot: ServingSlot) -> Latency:
    """Count requests of the policy head's version in this hour of its deployment and the hour before.

    The latency of the other heads is part of it.
    """
    main = slot if slot.head == MAIN_HEAD else slot_for(slot.loop, MAIN_HEAD)
    deployment = last_deployment(main)
    if deployment is None:
        return Latency()
    minutes = _Minutes(deployment, _HOUR, _METRIC_HOURS)
    rows = minutes.of(main.stable, "over_200_ms")
    requests, slow = (sum(row[i] for row in rows.values()) for i in (0, 1))
    return Latency(requests, slow, minutes.series(rows, sorted(rows)))


def _slow_minutes(
    slot: ServingSlot, holdback: ModelVersion, deployment: Deployment
) -> tuple[CohortSeries, CohortSeries]:
    """Return both arms' shares of requests over 250 ms, in minutes in which both were answered. An epoch is a day."""
    minutes = _Minutes(deployment, _DAY, _TRIGGER_DAYS)
    ours, theirs = (minutes.of(version, "over_250_ms") for version in (slot.stable, holdback))
    both = sorted(ours.keys() & theirs.keys())
    return minutes.series(ours, both), minutes.series(theirs, both)


class _Minutes:
    """Read the minutes of the ``last`` epochs of a deployment. Each epoch has this ``length``."""

    def __init__(self, deployment: Deployment, length: timedelta, last: int) -> None:
        self.loop, self.began, self.length = deployment.slot.loop_id, deployment.created_at, length
        self.until = timezone.now() - _SETTLED
        self.epochs = range(1 + max(0, (timezone.now() - self.began) // length))[-last:]

    def of(self, version: ModelVersion, slow: str) -> dict[datetime, tuple[int, int]]:
        """Return the number of requests and of slow requests in each completed minute. ``slow`` names the column to read."""
        since = self.began + self.epochs[0] * self.length
        rows = LatencyMinute.objects.filter(
            loop=self.loop, version=version, minute__gte=since, minute__lt=self.until, requests__gt=0
        )
        return {minute: (n, over) for minute, n, over in rows.values_list("minute", "requests", slow)}

    def series(self, rows: dict[datetime, tuple[int, int]], minutes: Sequence[datetime]) -> CohortSeries:
        """Return the share of slow requests in each minute. Each minute is a unit of its own."""
        shares = np.array([rows[minute][1] / rows[minute][0] for minute in minutes])
        epochs = [(minute - self.began) // self.length for minute in minutes]
        return CohortSeries(shares, None, _starts(epochs, self.epochs), self.epochs[0] + 1)
