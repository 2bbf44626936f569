"""Try an undecided version on half of the people, then promote it, or stop the trial.

A trial is the exit from insufficient evidence. Its arms are drawn by person, and both explore alike. The slot's stable version is
the reference arm, its candidate the other one. Only the policy head is tried.
"""

from __future__ import annotations

import secrets

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from core.errors import Conflict, InputError
from deployments.engine.rollouts.strategies import FULL_ROLLOUT, TRIAL
from deployments.models import Deployment, DeploymentState, HealthCheck, Incident, ServingSlot
from deployments.selectors.slots import trial_of
from deployments.services.rollouts.exploration import exploration_with
from deployments.services.rollouts.full_rollout import (
    Proposal,
    objections,
    overridden,
    proposal_under_lock,
    serving_check,
)
from deployments.services.rollouts.holdback import holdback_rotates
from deployments.services.rollouts.recorded_rollouts import rollouts_entry
from deployments.services.rollouts.slots import HOLDBACK_BP, archive, deployment_record, slots_lock
from loops.engine.heads import MAIN_HEAD
from privacy.models import VaultKind
from privacy.selectors.trial_decisions import logged_until
from privacy.services.vault.append import vault_append
from privacy.services.vault.commitments import text_digest
from training.engine.gates.trial import TRIAL_BP, TRIAL_LOOKS
from training.models import GateVerdict, ModelVersion, VersionState
from training.selectors.evidence import trial_has_passed, trial_is_wanted


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
    reason, override = overridden(version, objections(proposal), reason, override)
    slot = proposal.slot
    exploration = exploration_with(slot=slot, version=version)
    started = ServingSlot.objects.filter(
        pk=slot.pk, generation=slot.generation, candidate__isnull=True, stable=slot.stable_id
    ).update(
        candidate=version,
        weight_bp=TRIAL_BP,
        holdback=None,
        holdback_bp=0,
        rotates=False,
        exploration_bp=exploration,
        salt=secrets.token_hex(16),
        generation=F("generation") + 1,
    )
    if not started:
        raise Conflict(f"the slot {slot} changed meanwhile; check which version is deployed now")
    _lock_evaluating(version)
    ServingSlot.objects.filter(loop=slot.loop).exclude(exploration_bp=exploration).update(exploration_bp=exploration)
    slot.exploration_bp = exploration
    before = {"holdback": slot.holdback_id, "holdback_bp": slot.holdback_bp, "rotates": slot.rotates}
    terms = {"share_bp": TRIAL_BP, "looks": TRIAL_LOOKS, "log_end": _log_end(slot)} | before
    return deployment_record(slot, version, TRIAL, actor, reason, override, frozen_policy=terms, active=True)


def _lock_evaluating(version: ModelVersion) -> None:
    """Raise Conflict if the version changed its state since it was read, as an earlier trial that was stopped does."""
    waiting = ModelVersion.objects.filter(pk=version.pk, state=VersionState.EVALUATING)
    if not waiting.update(state=VersionState.EVALUATING):
        raise Conflict(f"{version} is no longer in state evaluating, so it cannot be tried; train a new version")


def _log_end(slot: ServingSlot) -> str | None:
    """Return when the stored log ends, as text. Rows of files count as evidence of the trial only after it."""
    end = logged_until(slot.loop)
    return None if end is None else end.isoformat()


def trial_check(proposal: Proposal, verdict: GateVerdict | None = None) -> None:
    """Check that a version could be tried now, whichever policy it was judged against.

    Args:
        verdict: the version's latest one, if it was read already.
    Raises: Conflict when it is not the policy head's, not in state evaluating, or not undecided. Conflict also when it cannot
        serve, or when another deployment is active.
    """
    version = proposal.version
    if version.head != MAIN_HEAD:
        raise Conflict(f"{version} is of head {version.head}; only versions of head {MAIN_HEAD} can be tried")
    if version.state != VersionState.EVALUATING:
        raise Conflict(f"{version} is in state {version.state}; only a version in state evaluating can be tried")
    if not trial_is_wanted(version, verdict):
        raise Conflict(
            f"{version} is not to be tried: a trial is for a version that its gates leave undecided, whose improvement may be "
            "above 0, and whose actions the log has tried"
        )
    serving_check(proposal)


@transaction.atomic
def trial_pass(*, slot: ServingSlot, actor: str, reason: str) -> Deployment:
    """Promote the version that is on trial. A reference arm stays as the holdback, so that harm of later months is seen.

    Raises: Conflict when the slot changed since it was read, or no trial is in progress.
    """
    trial, version, reference = _trial(slot), _candidate(slot), slot.stable
    promoted = ServingSlot.objects.filter(pk=slot.pk, generation=slot.generation, candidate=version).update(
        stable=version,
        candidate=None,
        weight_bp=0,
        holdback=reference,
        holdback_bp=HOLDBACK_BP,
        rotates=holdback_rotates(version),
        salt=secrets.token_hex(16),
        generation=F("generation") + 1,
    )
    ended = _end(trial, DeploymentState.SUCCEEDED)
    if not promoted or not ended:
        raise Conflict(f"the slot {slot} changed meanwhile; check which version is deployed now")
    archive(reference)
    ModelVersion.objects.filter(pk=version.pk).update(state=VersionState.DEPLOYED)
    return deployment_record(slot, version, FULL_ROLLOUT, actor, reason)


@transaction.atomic
def trial_stop(
    *,
    slot: ServingSlot,
    actor: str,
    reason: str,
    automatic: bool,
    harmful: bool,
    check: HealthCheck | None = None,
) -> Incident:
    """Stop the trial of a slot: everybody gets the stable version, and the version on trial is archived.

    Args:
        harmful: whether the version did harm. Versions that act like it are then not deployed by themselves.
        check: the health check that stopped it.
    Raises: InputError without a reason. Conflict when the slot changed since it was read, or no trial is in progress.
    """
    if not reason.strip():
        raise InputError("stopping a trial needs a reason; give one, and it is stored with the incident")
    trial, version = _trial(slot), _candidate(slot)
    stopped = ServingSlot.objects.filter(pk=slot.pk, generation=slot.generation, candidate=version).update(
        candidate=None, weight_bp=0, generation=F("generation") + 1, **_holdback_before(trial)
    )
    ended = _end(trial, DeploymentState.ROLLED_BACK if harmful else DeploymentState.ABORTED, harmful=harmful)
    if not stopped or not ended:
        raise Conflict(f"the slot {slot} changed meanwhile; check which version is deployed now")
    archive(version)
    incident = Incident.objects.create(
        slot=slot,
        version=version,
        deployment=trial,
        check_made=check,
        reason=reason,
        actor=actor,
        automatic=automatic,
        harmful=harmful,
    )
    vault_append(
        kind=VaultKind.ROLLBACK,
        body={
            "slot": str(slot), "version": version.pk, "to": slot.stable_id, "deployment": trial.pk, "incident": incident.pk,
            "automatic": automatic, "harmful": harmful, "actor": actor, "reason": text_digest(reason),
        },
        rows=rollouts_entry(slot.loop_id),
    )  # fmt: skip
    return incident


@transaction.atomic
def trial_promote(*, version: ModelVersion, actor: str, reason: str, override: str = "") -> Deployment:
    """Promote a version on trial by hand, after its last look passed.

    Raises: Conflict when its last look did not pass, or when the slot changed meanwhile. InputError for an override, because
        there is nothing to override.
    """
    promote_check(version)
    overridden(version, "", reason, override)
    slot = next(slot for slot in slots_lock(version.loop_version.loop) if slot.head == version.head)
    slot.loop, slot.candidate = version.loop_version.loop, version
    return trial_pass(slot=slot, actor=actor, reason=reason)


def promote_check(version: ModelVersion) -> None:
    """Check that the last look at a trial passed. Raises Conflict."""
    if not trial_has_passed(version):
        raise Conflict(f"{version} is on trial, and no look has passed yet; wait for the next turn, or stop the trial")


def _trial(slot: ServingSlot) -> Deployment:
    trial = trial_of(slot)
    if trial is None:
        raise Conflict(f"no trial is in progress in the slot {slot}")
    return trial


def _candidate(slot: ServingSlot) -> ModelVersion:
    if slot.candidate is None:
        raise Conflict(f"the slot {slot} has no candidate; check which version is deployed now")
    return slot.candidate


def _end(trial: Deployment, state: DeploymentState, *, harmful: bool = False) -> int:
    return Deployment.objects.filter(pk=trial.pk, state=DeploymentState.IN_PROGRESS).update(
        state=state, harmful=harmful, finished_at=timezone.now()
    )


def _holdback_before(trial: Deployment) -> dict[str, int | None]:
    """Return the holdback that the trial replaced, as columns of its slot. A harmful version serves nobody again."""
    holdback = trial.frozen_policy.get("holdback")
    harmed = Deployment.objects.filter(slot=trial.slot_id, version=holdback, harmful=True).exists()
    if holdback is None or harmed:
        return {"holdback_id": None, "holdback_bp": 0, "rotates": False}
    terms = trial.frozen_policy
    return {"holdback_id": holdback, "holdback_bp": int(terms["holdback_bp"]), "rotates": bool(terms["rotates"])}
