"""Roll a version out by growing shares of the people. A tick judges each stage, and takes the next step or goes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from core.errors import Conflict, InputError
from core.sentences import clause
from deployments.engine.arm_assignment import EPOCH
from deployments.engine.rollouts.strategies import CANARY
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment
from deployments.services.rollouts.candidate_arm import candidate_begin
from deployments.services.rollouts.full_rollout import Proposal, proposal_under_lock, serving_check
from loops.engine.heads import MAIN_HEAD
from loops.engine.spec import DeclaredRollout
from training.models import VERDICT_WORDS, GateVerdict, ModelVersion, VersionState
from training.selectors.evidence import people_behind, trial_is_wanted
from training.selectors.versions import last_verdict

_FEW_PEOPLE, _DWELL_OF_FEW, _DWELL = 600, 4, 2  # whole weeks that a stage lasts, by the number of people


@transaction.atomic
def canary_start(
    *, version: ModelVersion, actor: str, reason: str, override: str = "", share: float | None = None
) -> Deployment:
    """Give the first stage's share of the people a version, and let the others keep the present one.

    Args:
        override: why it is rolled out although it did not pass, or there is another objection.
        share: of the people in the first stage (None: as the loop declares). Declared stages above it follow.
    Raises: Conflict when a precondition fails (``staged_check``), when there is an objection and no override, or when the slot
        changed meanwhile. InputError for a share that is not between 0 and 1, and when there is nothing to override.
    """
    proposal = proposal_under_lock(version)
    staged_check(proposal)
    terms = staged_terms(version, proposal.current.spec.rollout, share)
    return candidate_begin(
        proposal=proposal,
        strategy=CANARY,
        share_bp=round(terms["stages"][0] * BASIS_POINTS),
        terms=terms,
        actor=actor,
        reason=reason,
        override=override,
        objection=gate_objection(version),
        deadline_at=timezone.now() + _longest(terms, proposal),
    )


def staged_terms(version: ModelVersion, declared: DeclaredRollout, share: float | None) -> dict[str, Any]:
    """Return the terms of a canary, as the history stores them. Later verdicts use these, whatever the loop file says then.

    Raises InputError for a share that is not between 0 and 1.
    """
    stages = declared.stages
    if share is not None:
        if not 0.0 < share < 1.0:
            raise InputError(
                "a canary begins with a share above 0% and below 100% of the people", field="trafficPercentage"
            )
        stages = (share, *(stage for stage in declared.stages if stage > share))
    people = people_behind(version)
    return {
        "stages": list(stages),
        "people": round(people) if people is not None else 0,
        "dwell_weeks": declared.dwell_weeks or _dwell(people),
        "extensions": declared.extensions,
        "when_insufficient": declared.when_insufficient,
        "by_hand": declared.by_hand,
        "proven_gate": is_proven(version),
        "reward_scale": version.loop_version.spec.reward.scale,
    }


def _dwell(people: float | None) -> int:
    """Return how many whole weeks a stage lasts, by the noised number of people that a release has already counted."""
    return _DWELL if people is not None and people >= _FEW_PEOPLE else _DWELL_OF_FEW


def _longest(terms: dict[str, Any], proposal: Proposal) -> timedelta:
    """Return after what time a canary ends even if it has proved nothing.

    Each stage may be extended. Its first week is not whole, and the last outcomes close after the reward's deadline.
    """
    tries = 1 + int(terms["extensions"]) * (2 if terms["when_insufficient"] == "extend" else 1)
    weeks = len(terms["stages"]) * (1 + int(terms["dwell_weeks"]) * tries)
    return weeks * EPOCH + timedelta(seconds=proposal.current.spec.reward.deadline_seconds)


def is_proven(version: ModelVersion) -> bool:
    """Tell whether the version's latest verdict is pass."""
    verdict = last_verdict(version)
    return verdict is not None and verdict.verdict == "pass"


def staged_check(proposal: Proposal, verdict: GateVerdict | None = None, *, overriding: bool = True) -> None:
    """Check that a version could be tried on people now, whichever policy it was judged against.

    Args:
        verdict: the version's latest one, if it was read already.
        overriding: whether an operator may override the gate, so that ``gate_objection`` is not checked here.
    Raises: Conflict when it is not in state evaluating, was not evaluated, cannot serve, or when another rollout is active.
    """
    version = proposal.version
    if version.state != VersionState.EVALUATING:
        raise Conflict(f"{version} is in state {version.state}; only a version in state evaluating can be rolled out")
    if (verdict or last_verdict(version)) is None:
        raise Conflict(f"{version} was not evaluated; start a turn, which evaluates what it trains")
    objection = "" if overriding else gate_objection(version)
    if objection:
        raise Conflict(f"{objection}; it is not tried on people")
    serving_check(proposal)


def gate_objection(version: ModelVersion) -> str:
    """Describe why the gate does not allow a rollout on people, or return an empty text. An operator may override it.

    What passed may be rolled out. What the evidence leaves open may be, too, if nothing failed: small populations learn that way.
    """
    verdict = last_verdict(version)
    if verdict is None or verdict.verdict == "pass":
        return ""
    if version.head == MAIN_HEAD and trial_is_wanted(version, verdict):
        return ""
    return f"{version} got the verdict {VERDICT_WORDS[verdict.verdict]!r}: {clause(verdict.reason)}"
