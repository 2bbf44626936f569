"""Read what is known of a rollout's present stage: one value of each person of both arms over its closed whole weeks."""

from __future__ import annotations

import numpy as np
from django.db.models import F, Sum
from django.utils import timezone

from deployments.engine.arm_assignment import EPOCH
from deployments.engine.health.evidence import LivedWeeks
from deployments.engine.health.report import health_of
from deployments.engine.rollouts.arm_values import ArmValues, arm_values
from deployments.engine.rollouts.staged import StageFacts
from deployments.models import Deployment, EvidenceUnit, ServingSlot
from deployments.selectors.health import epoch_number, evidence_of
from loops.engine.spec import LoopSpec

_WEEKS_BEFORE = 8  # of a person's reward before the rollout, at most


def stage_facts(rollout: Deployment, slot: ServingSlot, spec: LoopSpec) -> StageFacts:
    """Return the facts of the present stage. People who met both arms in it are counted, and left out of both."""
    evidence = evidence_of(slot, spec)
    weeks, first = evidence.weeks, rollout.stage_starts[-1]
    met_both = _in_both(weeks, first)
    alone = _without(weeks, met_both)
    past = _rewards_before(rollout, np.unique(weeks.person).tolist())
    candidate, stable = (
        arm_values(alone, ours=ours, first=first, silence=evidence.silence, past=past) for ours in (True, False)
    )
    return StageFacts(
        stage=rollout.stage,
        closed_weeks=max(0, weeks.closed - first + 1),
        extended=rollout.extended,
        candidate=candidate,
        stable=stable,
        triggers=health_of(evidence).triggers,
        exposed_both=len(met_both),
        assigned=(_people(candidate), _people(stable)),
        late=rollout.deadline_at is not None and timezone.now() >= rollout.deadline_at,
    )


def _in_both(weeks: LivedWeeks, first: int) -> list[int]:
    rows = (weeks.week >= first) & (weeks.week <= weeks.closed)
    ours, theirs = (np.unique(weeks.person[rows & (weeks.ours == arm)]) for arm in (True, False))
    return [int(person) for person in np.intersect1d(ours, theirs)]


def _without(weeks: LivedWeeks, people: list[int]) -> LivedWeeks:
    keep = ~np.isin(weeks.person, people)
    return LivedWeeks(
        weeks.week[keep], weeks.person[keep], weeks.ours[keep], weeks.sums[keep], weeks.first, weeks.closed,
        weeks.stage_starts,
    )  # fmt: skip


def _people(arm: ArmValues) -> int:
    return len(arm.reward)


def _rewards_before(rollout: Deployment, people: list[int]) -> dict[int, float]:
    """Return people's mean reward in the slot's weeks before the rollout, of those who have any."""
    before = EvidenceUnit.objects.filter(
        slot=rollout.slot_id,
        epoch__lt=epoch_number(rollout, 0),
        closes_at__gte=rollout.created_at - _WEEKS_BEFORE * EPOCH,
        data_key_id__in=people,
        rewarded__gt=0,
    )
    sums = before.values("data_key_id").annotate(total=Sum("reward_sum"), count=Sum(F("rewarded")))
    return {row["data_key_id"]: row["total"] / row["count"] for row in sums}
