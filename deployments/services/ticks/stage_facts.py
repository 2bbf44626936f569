"""Read what is known of a rollout's present stage: one value of each person of both arms over its closed whole weeks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import Sum

from core import clock
from deployments.engine.arm_assignment import EPOCH
from deployments.engine.health.evidence import LivedWeeks
from deployments.engine.health.metrics import LEAST_SHOWN
from deployments.engine.health.report import health_of
from deployments.engine.health.triggers import Trigger
from deployments.engine.rollouts.ab_test import AbFacts, AbTerms, ab_lived_is_due
from deployments.engine.rollouts.arm_values import arm_values, people_of_one_arm, reward_blocks
from deployments.engine.rollouts.staged import CanaryTerms, StageFacts, lived_is_due
from deployments.models import Deployment, EvidenceUnit, RolloutCheck, ServingSlot
from deployments.selectors.health import epoch_number, evidence_of
from deployments.services.ticks.lived_facts import lived_facts
from loops.engine.spec import LoopSpec, Silence

_WEEKS_BEFORE = 8  # of a person's reward before the rollout, at most


def stage_facts(
    rollout: Deployment, slot: ServingSlot, spec: LoopSpec, terms: CanaryTerms, last: RolloutCheck | None = None
) -> StageFacts:
    """Return the facts of the present stage.

    Args: last: the rollout's last check.
    """
    facts = _Stage.of(rollout, slot, spec).facts(rollout)
    closed = facts["closed_weeks"]
    if lived_is_due(terms, rollout.stage, closed, rollout.extended):
        facts["lived"] = lived_facts(rollout, slot, closed, last)
    return StageFacts(stage=rollout.stage, **facts)


def ab_facts(
    rollout: Deployment, slot: ServingSlot, spec: LoopSpec, terms: AbTerms, last: RolloutCheck | None = None
) -> AbFacts:
    """Return the facts of an A/B test since it began, or since it was resumed.

    Once its declared time is over, a person's value is their mean over all of it, and not over one week.

    Args: last: the test's last check.
    """
    stage = _Stage.of(rollout, slot, spec)
    facts = stage.facts(rollout)
    closed = facts["closed_weeks"]
    if ab_lived_is_due(terms, closed, rollout.extended):
        facts["lived"] = lived_facts(rollout, slot, closed, last)
    tile = terms.weeks if closed >= terms.weeks else 1
    return AbFacts(blocks=reward_blocks(stage.weeks, stage.past, first=stage.first, tile=tile), **facts)


@dataclass(frozen=True)
class _Stage:
    """Hold the stage's weeks of the people who were in one arm alone.

    ``met_both``: number of people who met both arms in it, and are left out. ``past``: mean rewards before the rollout by person.
    """

    weeks: LivedWeeks
    first: int
    met_both: int
    triggers: tuple[Trigger, ...]
    silence: Silence
    past: dict[int, float]

    @classmethod
    def of(cls, rollout: Deployment, slot: ServingSlot, spec: LoopSpec) -> _Stage:
        evidence = evidence_of(slot, spec)
        first = rollout.stage_starts[-1]
        alone, met_both = people_of_one_arm(evidence.weeks, first)
        past = _rewards_before(rollout, np.unique(alone.person).tolist())
        return cls(alone, first, met_both, health_of(evidence).triggers, evidence.silence, past)

    def facts(self, rollout: Deployment) -> dict[str, Any]:
        """Return what the facts of every rollout with a candidate hold."""
        candidate, stable = (
            arm_values(self.weeks, ours=ours, first=self.first, silence=self.silence, past=self.past)
            for ours in (True, False)
        )
        return {
            "closed_weeks": max(0, self.weeks.closed - self.first + 1),
            "extended": rollout.extended,
            "candidate": candidate,
            "stable": stable,
            "triggers": self.triggers,
            "exposed_both": self.met_both if self.met_both >= LEAST_SHOWN else 0,
            "assigned": _assigned(len(candidate.reward), len(stable.reward)),
            "late": rollout.deadline_at is not None and clock.now() >= rollout.deadline_at,
        }


def _assigned(candidate: int, stable: int) -> tuple[int, int]:
    """Return the people of both arms, or nobody if an arm has fewer than ten: facts are stored for good."""
    return (candidate, stable) if min(candidate, stable) >= LEAST_SHOWN else (0, 0)


def _rewards_before(rollout: Deployment, people: list[int]) -> dict[int, float]:
    """Return people's mean reward in the slot's weeks before the rollout, of those who have any."""
    before = EvidenceUnit.objects.filter(
        slot=rollout.slot_id,
        epoch__lt=epoch_number(rollout, 0),
        closes_at__gte=rollout.created_at - _WEEKS_BEFORE * EPOCH,
        rewarded__gt=0,
    )
    sums = before.values("data_key_id").annotate(total=Sum("reward_sum"), count=Sum("rewarded"))
    wanted = set(people)
    return {row["data_key_id"]: row["total"] / row["count"] for row in sums if row["data_key_id"] in wanted}
