"""Read the evidence of health checks: people's closed weeks under both arms, and latencies by the minute."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from core import clock
from deployments.engine.arm_assignment import EPOCH, week_of
from deployments.engine.evidence.restarts import SPAN
from deployments.engine.evidence.slow_minutes import MinuteShares, SlowMinutes, starts_of
from deployments.engine.health.evidence import LIVED_COLUMNS, ArmKind, Evidence, Latency, LivedWeeks
from deployments.engine.rollouts.transitions import ACTIVE_STATES
from deployments.models import Deployment, EvidenceUnit, EvidenceWeek, LatencyMinute, ServingSlot
from deployments.selectors.slots import slot_for
from loops.engine.heads import MAIN_HEAD
from loops.engine.reward import largest_total
from loops.engine.spec import LoopSpec, Silence
from loops.engine.thresholds import stability_margin
from training.models import ModelVersion

EPOCHS = 1_024  # most weeks of one deployment, which is nineteen years
SPANS_BEFORE = 3  # tests from before these four-week spans are left out, because their proofs were acted on then
EVIDENCE_KEPT = (SPANS_BEFORE + 1) * SPAN * EPOCH + 2 * EPOCH  # no test uses older evidence
FIRST_DAYS = 0  # in place of a week's number: people's first days
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_METRIC_HOURS = 2  # this hour and the one before it, because the metric is about present latency
_TRIGGER_DAYS = 7
_SETTLED = timedelta(seconds=90)  # after this, every web process has written its counts of a past minute


@dataclass(frozen=True)
class ComparedArms:
    """Hold the version that is watched in a slot, and the one that serves other people at the same time, if there is one."""

    watched: ModelVersion
    other: ModelVersion | None
    kind: ArmKind | None

    @property
    def versions(self) -> list[ModelVersion]:
        """Return the versions of which evidence is needed."""
        return [self.watched] if self.other is None else [self.watched, self.other]


def arms_compared(slot: ServingSlot) -> ComparedArms:
    """Return the arms that a slot compares: a candidate with the stable version, or else the stable version with its holdback."""
    if slot.candidate is not None:
        return ComparedArms(slot.candidate, slot.stable, "trial")
    if slot.holdback is None:
        return ComparedArms(slot.stable, None, None)
    return ComparedArms(slot.stable, slot.holdback, "rotating" if slot.rotates else "holdback")


def last_deployment(slot: ServingSlot) -> Deployment | None:
    """Return the slot's last deployment, from which the weeks of both arms are counted. A shadow test is none of people."""
    return Deployment.objects.of_people().filter(slot=slot).order_by("-pk").first()


def epoch_number(deployment: Deployment, week: int) -> int:
    """Return the number that is stored for week 1, 2, ... of one deployment, or for its ``FIRST_DAYS``. No other one uses it."""
    return deployment.pk * EPOCHS + week


def first_week(deployment: Deployment) -> int:
    """Return the first week in which a test started that is still in use."""
    return max(0, (week_of(deployment.created_at, clock.now()) - 1) // SPAN - SPANS_BEFORE) * SPAN + 1


def evidence_of(slot: ServingSlot, spec: LoopSpec) -> Evidence:
    """Return the evidence about the slot's watched version and its other arm since the last deployment."""
    deployment, arms = last_deployment(slot), arms_compared(slot)
    slow = None
    if deployment is not None and arms.other is not None and slot.head == MAIN_HEAD:
        slow = _slow_minutes(deployment, arms.watched, arms.other)
    return Evidence(
        weeks=_lived(deployment, arms, largest_total(spec), first_week(deployment))
        if deployment
        else LivedWeeks.none(),
        other_arm=arms.kind,
        latency=_latency(slot),
        margin=stability_margin(spec),
        slow_minutes=slow,
        silence=_silence(deployment, spec),
    )


def _silence(deployment: Deployment | None, spec: LoopSpec) -> Silence:
    """Return what an absent label means. While a rollout goes on, it means what it meant when the rollout began."""
    frozen = deployment.frozen_policy if deployment is not None and deployment.state in ACTIVE_STATES else {}
    silence: Silence = frozen.get("silence", spec.reward.silence)
    return silence


def lived_under(deployment: Deployment, spec: LoopSpec) -> LivedWeeks | None:
    """Return what people lived under a deployment and under the version before it, or None when there was none before."""
    if deployment.previous is None:
        return None
    arms = ComparedArms(deployment.version, deployment.previous, "trial")
    return _lived(deployment, arms, largest_total(spec), first=1)


def _lived(deployment: Deployment, arms: ComparedArms, largest: float, first: int) -> LivedWeeks:
    """Return the units of both arms: first days in the order of first exposure, and the weeks that are complete.

    ``largest``: bound of one total. Sums that were stored under another bound are clipped to it. ``first``: the first week.
    """
    last = week_of(deployment.created_at, clock.now())
    marked = set(EvidenceWeek.objects.filter(deployment=deployment).values_list("week", flat=True))
    closed = next((week - 1 for week in range(first, last + 1) if week not in marked), last)
    starts = _stage_starts(deployment)
    mixed = {start - 1 for start in starts[1:]}  # people changed their arm in the middle of it
    weeks = [week for week in range(first, closed + 1) if week not in mixed]
    numbers = [epoch_number(deployment, week) for week in (FIRST_DAYS, *weeks)]
    units = EvidenceUnit.objects.filter(
        slot_id=deployment.slot_id, version__in=[version.pk for version in arms.versions], epoch__in=numbers
    ).order_by("epoch", "first_exposed_at", "data_key_id")
    rows = list(units.values_list("epoch", "data_key_id", "version_id", *LIVED_COLUMNS))
    table = np.array(rows, dtype=np.float64).reshape(-1, 3 + len(LIVED_COLUMNS))
    week, person, version = (table[:, i].astype(np.int64) for i in range(3))
    total, rewarded = (3 + LIVED_COLUMNS.index(name) for name in ("reward_sum", "rewarded"))
    table[:, total] = np.clip(table[:, total], -largest * table[:, rewarded], largest * table[:, rewarded])
    return LivedWeeks(
        week - epoch_number(deployment, 0), person, version == arms.watched.pk, table[:, 3:], first, max(closed, 0),
        starts,
    )  # fmt: skip


def _stage_starts(deployment: Deployment) -> tuple[int, ...]:
    """Return the first whole week of each stage of a rollout in stages, and nothing for any other deployment."""
    return tuple(deployment.stage_starts) if "stages" in deployment.frozen_policy else ()


def _latency(slot: ServingSlot) -> Latency:
    """Count requests of the policy head's watched version in this hour of its deployment and the hour before.

    The latency of the other heads is part of it.
    """
    main = slot if slot.head == MAIN_HEAD else slot_for(slot.loop, MAIN_HEAD)
    deployment = last_deployment(main)
    if deployment is None:
        return Latency()
    minutes = _Minutes(deployment, _HOUR, _METRIC_HOURS)
    rows = minutes.of(arms_compared(main).watched, "over_200_ms")
    requests, slow = (sum(row[i] for row in rows.values()) for i in (0, 1))
    return Latency(requests, slow, minutes.shares(rows))


def _slow_minutes(deployment: Deployment, watched: ModelVersion, other: ModelVersion) -> SlowMinutes:
    """Return how many requests of both arms took longer than 250 ms in each minute of the last days."""
    minutes = _Minutes(deployment, _DAY, _TRIGGER_DAYS)
    ours, theirs = (minutes.of(version, "over_250_ms") for version in (watched, other))
    every = sorted(ours.keys() | theirs.keys())
    counts = np.array([[*ours.get(m, (0, 0)), *theirs.get(m, (0, 0))] for m in every], dtype=float).reshape(-1, 4)
    return SlowMinutes.of(counts.T, minutes.starts(every), minutes.epochs[0] + 1)


class _Minutes:
    """Read the minutes of the ``last`` epochs of a deployment. Each epoch has this ``length``."""

    def __init__(self, deployment: Deployment, length: timedelta, last: int) -> None:
        self.loop, self.began, self.length = deployment.slot.loop_id, deployment.created_at, length
        self.until = clock.now() - _SETTLED
        self.epochs = range(1 + max(0, (clock.now() - self.began) // length))[-last:]

    def of(self, version: ModelVersion, slow: str) -> dict[datetime, tuple[int, int]]:
        """Return the number of requests and of slow requests in each completed minute. ``slow`` names the column to read."""
        since = self.began + self.epochs[0] * self.length
        rows = LatencyMinute.objects.filter(
            loop=self.loop, version=version, minute__gte=since, minute__lt=self.until, requests__gt=0
        )
        return {minute: (n, over) for minute, n, over in rows.values_list("minute", "requests", slow)}

    def starts(self, minutes: list[datetime]) -> tuple[int, ...]:
        """Return the index at which each epoch begins among ascending minutes."""
        return starts_of(np.array([(minute - self.began) // self.length for minute in minutes], dtype=int), self.epochs)

    def shares(self, rows: dict[datetime, tuple[int, int]]) -> MinuteShares:
        """Return the share of slow requests in each minute. Each minute is a unit of its own."""
        minutes = sorted(rows)
        shares = np.array([rows[minute][1] / rows[minute][0] for minute in minutes])
        return MinuteShares(shares, self.starts(minutes), self.epochs[0] + 1)
