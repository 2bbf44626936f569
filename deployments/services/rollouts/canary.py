"""Roll a version out by growing shares of the people. A tick judges each stage, and takes the next step or goes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction

from core import clock
from core.errors import InputError
from deployments.engine.arm_assignment import EPOCH
from deployments.engine.rollouts.staged import LIVED_WEEKS, dwell_of
from deployments.engine.rollouts.strategies import CANARY
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment
from deployments.services.rollouts.candidate_arm import candidate_begin
from deployments.services.rollouts.full_rollout import Proposal, proposal_under_lock, serving_check
from deployments.services.rollouts.gate_standing import GateStanding, gate_standing, unproven_terms
from loops.engine.spec import LoopSpec
from training.models import ModelVersion
from training.selectors.evidence import people_behind

_MOST_WEEKS = 12  # of one stage with its extensions, because the evidence of people is kept for hardly longer


@transaction.atomic
def canary_start(
    *, version: ModelVersion, actor: str, reason: str, override: str = "", share: float | None = None
) -> Deployment:
    """Give the first stage's share of the people a version, and let the others keep the present one.

    Args:
        override: why it is rolled out although it did not pass, or there is another objection.
        share: of the people in the first stage (None: as the loop declares). Declared stages above it follow.
    Raises: Conflict when the version waits for no rollout, was not evaluated or cannot serve, when there is an objection and no
        override, or when the slot changed meanwhile. InputError for a share that is not between 0 and 1, and with nothing
        to override.
    """
    proposal = proposal_under_lock(version)
    standing = gate_standing(version)
    standing.evaluated_check("rolled out")
    serving_check(proposal)
    terms = staged_terms(standing, proposal.current.spec, share) | unproven_terms(proposal, standing)
    if terms["judges_lived"] and not proposal.current.spec.rollout.dwell_weeks:
        terms["last_weeks"] = max(terms["dwell_weeks"], LIVED_WEEKS)
    return candidate_begin(
        proposal=proposal,
        strategy=CANARY,
        share_bp=round(terms["stages"][0] * BASIS_POINTS),
        terms=terms,
        actor=actor,
        reason=reason,
        override=override,
        objection=standing.objection,
        deadline_at=clock.now() + _longest(terms, proposal),
    )


def staged_terms(standing: GateStanding, spec: LoopSpec, share: float | None) -> dict[str, Any]:
    """Return the terms of a canary, as the history stores them. Later verdicts use these, whatever the loop file says then.

    Raises InputError for a share that is not between 0 and 1.
    """
    declared = spec.rollout
    stages = declared.stages
    if share is not None:
        if not 0.0 < share < 1.0:
            raise InputError(
                "a canary begins with a share above 0% and below 100% of the people", field="trafficPercentage"
            )
        stages = (share, *(stage for stage in declared.stages if stage > share))
    counted = people_behind(standing.version)  # noised, in a release that exists already
    people = round(counted) if counted is not None else 0
    dwell = min(declared.dwell_weeks or dwell_of(people), _MOST_WEEKS)
    return {
        "stages": list(stages),
        "people": people,
        "dwell_weeks": dwell,
        "extensions": min(declared.extensions, _MOST_WEEKS // dwell - 1),
        "when_insufficient": declared.when_insufficient,
        "by_hand": declared.by_hand,
        "silence": spec.reward.silence,
        "proven_gate": standing.is_proven,
        "reward_scale": spec.reward.scale,
    }


def _longest(terms: dict[str, Any], proposal: Proposal) -> timedelta:
    """Return after what time a canary ends even if it has proved nothing.

    Each stage may be extended. Its first week is not whole, and the last outcomes close after the reward's deadline.
    """
    dwell = int(terms["dwell_weeks"])
    weeks = len(terms["stages"]) * (1 + dwell * (1 + int(terms["extensions"])))
    weeks += max(int(terms.get("last_weeks", 0)) - dwell, 0)
    return weeks * EPOCH + timedelta(seconds=proposal.current.spec.reward.deadline_seconds)
