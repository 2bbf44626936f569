"""Compare a version with the present one on declared shares of the people. A tick promotes the winner when the time is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction

from core import clock
from core.errors import InputError
from deployments.engine.arm_assignment import EPOCH
from deployments.engine.rollouts.ab_test import AbTerms
from deployments.engine.rollouts.strategies import AB_TEST
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import AbExperiment, Deployment
from deployments.services.rollouts.candidate_arm import candidate_begin
from deployments.services.rollouts.full_rollout import proposal_under_lock, serving_check
from deployments.services.rollouts.gate_standing import GateStanding, gate_standing, unproven_terms
from deployments.services.rollouts.recorded_rollouts import rollouts_entry
from loops.engine.spec import LoopSpec
from privacy.models import VaultKind
from privacy.services.vault.append import time_text, vault_append
from training.models import ModelVersion
from training.selectors.evidence import people_behind

_MOST_WEEKS = 12  # with its extensions, because the evidence of people is kept for hardly longer


@transaction.atomic
def ab_test_start(
    *, version: ModelVersion, actor: str, reason: str, override: str = "", share: float | None = None
) -> Deployment:
    """Give a declared share of the people a version, and compare what both arms live for a declared time.

    Args:
        override: why it is tested although its gate failed, or there is another objection.
        share: of the people who get the version (None: as the loop declares).
    Raises: Conflict when the version waits for no rollout, was not evaluated or cannot serve, when there is an objection and no
        override, or when the slot changed meanwhile. InputError for a share that no test can use, and when there is nothing to
        override.
    """
    proposal = proposal_under_lock(version)
    standing = gate_standing(version)
    standing.evaluated_check("tested")
    serving_check(proposal)
    terms = ab_terms(standing, proposal.current.spec, share)
    ends_at = clock.now() + (terms.weeks + 1) * EPOCH
    deadline = timedelta(seconds=proposal.current.spec.reward.deadline_seconds)
    made = candidate_begin(
        proposal=proposal,
        strategy=AB_TEST,
        share_bp=round(terms.split * BASIS_POINTS),
        terms=terms.as_json()
        | {
            "stages": [terms.split],
            "by_hand": proposal.current.spec.rollout.by_hand,
            "silence": proposal.current.spec.reward.silence,
        }
        | unproven_terms(proposal, standing),
        actor=actor,
        reason=reason,
        override=override,
        objection=standing.objection,
        deadline_at=ends_at + terms.extensions * terms.weeks * EPOCH + deadline,
    )
    AbExperiment.objects.create(
        deployment=made,
        control=proposal.slot.stable,
        treatment=version,
        split_bp=round(terms.split * BASIS_POINTS),
        alpha=terms.alpha,
        minimum_per_arm=terms.minimum_an_arm,
        ends_at=ends_at,
    )
    body = {"deployment": made.pk, "split_bp": round(terms.split * BASIS_POINTS), "ends_at": time_text(ends_at)}
    vault_append(kind=VaultKind.SLOT, body=body, rows=rollouts_entry(proposal.slot.loop_id))
    return made


def ab_terms(standing: GateStanding, spec: LoopSpec, share: float | None) -> AbTerms:
    """Return the terms of a test, as the history stores them. Raises InputError for a share that no test can use."""
    declared, people = spec.rollout, people_behind(standing.version)
    split = declared.split if share is None else share
    if not 0.05 <= split <= 0.95:
        raise InputError("an A/B test gives the version 5% to 95% of the people", field="trafficPercentage")
    weeks = min(declared.weeks, _MOST_WEEKS)
    more: dict[str, Any] = {"planned_people": max(round(people), 1)} if people is not None else {}
    if spec.minimum_effect is not None:
        more["minimum_effect"] = spec.minimum_effect / spec.reward.scale
    return AbTerms(
        split=split,
        weeks=weeks,
        extensions=min(declared.extensions, _MOST_WEEKS // weeks - 1),
        when_insufficient=declared.when_insufficient,
        proven_gate=standing.is_proven,
        reward_scale=spec.reward.scale,
        **more,
    )
