"""Try an undecided version on half of the people. Turns judge it by private releases, and promote it or stop it.

A trial is the exit from insufficient evidence. Its arms are drawn by person, and both explore alike. The slot's stable version is
the reference arm, its candidate the other one. Only the policy head is tried.
"""

from __future__ import annotations

from django.db import transaction

from core.errors import Conflict
from deployments.engine.rollouts.strategies import TRIAL
from deployments.models import Deployment, ServingSlot
from deployments.services.rollouts.candidate_arm import candidate_begin, candidate_promote
from deployments.services.rollouts.full_rollout import Proposal, nothing_overridden, proposal_under_lock, serving_check
from deployments.services.rollouts.gate_standing import GateStanding, gate_standing
from deployments.services.rollouts.slots import slots_lock
from loops.engine.heads import MAIN_HEAD
from privacy.selectors.trial_decisions import logged_until
from training.engine.gates.trial import TRIAL_BP, TRIAL_LOOKS
from training.models import ModelVersion, VersionState
from training.selectors.evidence import trial_has_passed


@transaction.atomic
def trial_start(*, version: ModelVersion, actor: str, reason: str, override: str = "") -> Deployment:
    """Give half of the people an undecided version, and let the other half keep the present one.

    Args:
        override: why it is tried although it was judged against another policy, or acts like one that did harm. It is stored in
            the deployment history, and its digest in the Trust Vault.
    Raises: Conflict when a precondition fails (``trial_check``), when there is an objection and no override, or when the slot
        changed meanwhile. InputError when there is nothing to override.
    """
    proposal = proposal_under_lock(version)
    trial_check(proposal)
    terms = {"looks": TRIAL_LOOKS, "log_end": _log_end(proposal.slot)}
    return candidate_begin(
        proposal=proposal,
        strategy=TRIAL,
        share_bp=TRIAL_BP,
        terms=terms,
        actor=actor,
        reason=reason,
        override=override,
    )


def _log_end(slot: ServingSlot) -> str | None:
    """Return when the stored log ends, as text. Rows of files count as evidence of the trial only after it."""
    end = logged_until(slot.loop)
    return None if end is None else end.isoformat()


def trial_check(proposal: Proposal) -> None:
    """Check that a version could be tried now, whichever policy it was judged against.

    Raises: Conflict when it is not the policy head's, not in state evaluating, or not undecided. Conflict also when it cannot
        serve, or when another deployment is active.
    """
    trial_wanted_check(gate_standing(proposal.version))
    serving_check(proposal)


def trial_wanted_check(standing: GateStanding) -> None:
    """Check that a version is one to be tried. Raises Conflict."""
    version = standing.version
    if version.head != MAIN_HEAD:
        raise Conflict(f"{version} is of head {version.head}; only versions of head {MAIN_HEAD} can be tried")
    if version.state != VersionState.EVALUATING:
        raise Conflict(f"{version} is in state {version.state}; only a version in state evaluating can be tried")
    if not standing.asks_for_trial:
        raise Conflict(
            f"{version} is not to be tried: a trial is for a version that its gates leave undecided, whose improvement may be "
            "above 0, and whose actions the log has tried"
        )


@transaction.atomic
def trial_promote(*, version: ModelVersion, actor: str, reason: str, override: str = "") -> Deployment:
    """Promote a version on trial by hand, after its last look passed.

    Raises: Conflict when its last look did not pass, or when the slot changed meanwhile. InputError for an override, because
        there is nothing to override.
    """
    promote_check(version)
    nothing_overridden(version, override)
    slot = next(slot for slot in slots_lock(version.loop_version.loop) if slot.head == version.head)
    slot.loop, slot.candidate = version.loop_version.loop, version
    return candidate_promote(slot=slot, actor=actor, reason=reason)


def promote_check(version: ModelVersion) -> None:
    """Check that the last look at a trial passed. Raises Conflict."""
    if not trial_has_passed(version):
        raise Conflict(f"{version} is on trial, and no look has passed yet; wait for the next turn, or stop the trial")
