"""Give a share of the people a candidate beside the stable version, change that share, and end it by promotion or by a stop.

Every strategy that tries a version on people uses these acts. Each is one transaction and a conditional UPDATE of the slot on its
generation. Arms are drawn by person, and both explore alike. A larger share only adds people.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from core import clock
from core.errors import Conflict, InputError
from deployments.engine.rollouts.strategies import FULL_ROLLOUT
from deployments.engine.rollouts.transitions import states_before
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import (
    AbExperiment,
    Deployment,
    DeploymentState,
    HealthCheck,
    Incident,
    RolloutAct,
    ServingSlot,
)
from deployments.selectors.slots import rollout_in
from deployments.services.rollouts.experiments import experiment_end
from deployments.services.rollouts.exploration import exploration_with
from deployments.services.rollouts.full_rollout import Proposal, objections, overridden
from deployments.services.rollouts.holdback import holdback_rotates
from deployments.services.rollouts.recorded_incidents import incident_record
from deployments.services.rollouts.recorded_rollouts import rollouts_entry
from deployments.services.rollouts.rollout_notices import tell_changed, tell_ended, tell_incident
from deployments.services.rollouts.slots import HOLDBACK_BP, archive, deployment_record
from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from privacy.services.vault.commitments import text_digest
from training.models import ModelVersion, VersionState


@transaction.atomic
def candidate_begin(
    *,
    proposal: Proposal,
    strategy: str,
    share_bp: int,
    terms: Mapping[str, Any],
    actor: str,
    reason: str,
    override: str = "",
    objection: str = "",
    deadline_at: datetime | None = None,
) -> Deployment:
    """Give ``share_bp`` basis points of the people a version, and let the others keep the present one.

    Call it under the lock of ``proposal_under_lock``, after the strategy's own checks.

    Args:
        terms: the terms under which the rollout begins. The history stores them, and later verdicts use no others.
        override: why it is tried although there is an objection (``objections``).
        objection: what the strategy itself has against it. An operator may override that, too.
        deadline_at: when the rollout ends even if it has proved nothing.
    Raises: Conflict when there is an objection and no override, or when the slot or the version changed meanwhile. InputError
        when there is nothing to override.
    """
    version, slot = proposal.version, proposal.slot
    against = "; ".join(filter(None, (objection, objections(proposal))))
    reason, override = overridden(proposal, against, reason, override)
    _give_share(slot, version, share_bp)
    before = {"holdback": slot.holdback_id, "holdback_bp": slot.holdback_bp, "rotates": slot.rotates}
    policy = {"share_bp": share_bp} | dict(terms) | before
    return deployment_record(
        slot,
        version,
        strategy,
        actor,
        reason,
        override,
        share_bp=share_bp,
        frozen_policy=policy,
        active=True,
        deadline_at=deadline_at,
    )


def _give_share(slot: ServingSlot, version: ModelVersion, share_bp: int) -> None:
    """Make a version the candidate of a slot for a share of the people, who are drawn anew. Raises Conflict."""
    exploration = exploration_with(slot=slot, version=version)
    started = ServingSlot.objects.filter(
        pk=slot.pk, generation=slot.generation, candidate__isnull=True, stable=slot.stable_id
    ).update(
        candidate=version,
        weight_bp=share_bp,
        holdback=None,
        holdback_bp=0,
        rotates=False,
        exploration_bp=exploration,
        salt=secrets.token_hex(16),
        generation=F("generation") + 1,
    )
    if not started:
        raise _changed(slot)
    _lock_evaluating(version)
    ServingSlot.objects.filter(loop=slot.loop).exclude(exploration_bp=exploration).update(exploration_bp=exploration)
    slot.exploration_bp = exploration


def _lock_evaluating(version: ModelVersion) -> None:
    """Raise Conflict if the version changed its state since it was read, as an earlier rollout that was stopped does."""
    waiting = ModelVersion.objects.filter(pk=version.pk, state=VersionState.EVALUATING)
    if not waiting.update(state=VersionState.EVALUATING):
        raise Conflict(f"{version} is no longer in state evaluating, so it cannot be tried; train a new version")


@transaction.atomic
def candidate_share(*, slot: ServingSlot, share_bp: int, actor: str, reason: str, **changes: Any) -> Deployment:
    """Change the candidate's share of the people, and the columns of its rollout that change with it.

    Args:
        changes: columns of the rollout, such as ``stage`` or ``state``.
    Raises: Conflict when the slot changed since it was read, or when the rollout may not go from its state to a new one.
    """
    changed = ServingSlot.objects.filter(pk=slot.pk, generation=slot.generation, candidate=candidate_of(slot)).update(
        weight_bp=share_bp, generation=F("generation") + 1
    )
    if not changed:
        raise _changed(slot)
    slot.weight_bp = share_bp
    return candidate_noted(slot=slot, actor=actor, reason=reason, **changes)


@transaction.atomic
def candidate_noted(*, slot: ServingSlot, actor: str, reason: str, **changes: Any) -> Deployment:
    """Change columns of the candidate's rollout, and record them in the Trust Vault. Nobody's arm changes.

    Raises: Conflict when the rollout may not go from its state to a new one.
    """
    rollout = rollout_of(slot)
    before = states_before(changes["state"]) if "state" in changes else (rollout.state,)
    if not Deployment.objects.filter(pk=rollout.pk, state__in=before).update(**changes):
        raise _changed(slot)
    rollout.refresh_from_db()
    act_record(rollout, slot.weight_bp, actor, reason, changes)
    tell_changed(rollout, slot, candidate_of(slot), changes, by=actor, reason=reason)
    body = {
        "slot": str(slot), "version": rollout.version_id, "deployment": rollout.pk, "share_bp": slot.weight_bp,
        "stage": rollout.stage, "state": rollout.state, "actor": actor, "reason": text_digest(reason),
    }  # fmt: skip
    vault_append(kind=VaultKind.SLOT, body=body, rows=rollouts_entry(slot.loop_id))
    return rollout


def act_record(rollout: Deployment, share_bp: int, actor: str, reason: str, changes: Mapping[str, Any]) -> RolloutAct:
    """Store who changed a rollout and why, for its timeline. ``share_bp``: the candidate's share after the change."""
    return RolloutAct.objects.create(
        deployment=rollout, act=_act_of(changes), stage=rollout.stage, share_bp=share_bp, actor=actor, reason=reason
    )


def _act_of(changes: Mapping[str, Any]) -> RolloutAct.Act:
    if changes.get("state") == DeploymentState.PAUSED:
        return RolloutAct.Act.PAUSE
    if "state" in changes:
        return RolloutAct.Act.RESUME
    if "stage" in changes:
        return RolloutAct.Act.ADVANCE
    return RolloutAct.Act.ASK if changes.get("waits_for") else RolloutAct.Act.EXTEND


@transaction.atomic
def candidate_promote(*, slot: ServingSlot, actor: str, reason: str, override: str = "") -> Deployment:
    """Give the candidate to everybody. A group stays on the version before as the holdback, so that later harm is seen.

    Returns: the new deployment, from which the weeks of the version's health are counted.
    Raises: Conflict when the slot changed since it was read, or no rollout is in progress.
    """
    rollout, version, reference = rollout_of(slot), candidate_of(slot), slot.stable
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
    if not promoted or not _end(rollout, DeploymentState.SUCCEEDED):
        raise _changed(slot)
    experiment_end(rollout, AbExperiment.State.PROMOTED)
    archive(reference)
    ModelVersion.objects.filter(pk=version.pk).update(state=VersionState.DEPLOYED)
    tell_ended(rollout, slot, version, "it is promoted")
    share_bp = BASIS_POINTS - HOLDBACK_BP
    return deployment_record(slot, version, FULL_ROLLOUT, actor, reason, override, share_bp=share_bp)


@transaction.atomic
def candidate_stop(
    *,
    slot: ServingSlot,
    actor: str,
    reason: str,
    automatic: bool,
    harmful: bool,
    check: HealthCheck | None = None,
) -> Incident:
    """Take the candidate away from everybody: they get the stable version, and the candidate is archived.

    Args:
        harmful: whether the version did harm. Versions that act like it are then not deployed by themselves.
        check: the health check that stopped it.
    Raises: InputError without a reason. Conflict when the slot changed since it was read, or no rollout is in progress.
    """
    if not reason.strip():
        raise InputError("stopping a rollout needs a reason; give one, and it is stored with the incident")
    rollout, version = rollout_of(slot), candidate_of(slot)
    stopped = ServingSlot.objects.filter(pk=slot.pk, generation=slot.generation, candidate=version).update(
        candidate=None, weight_bp=0, generation=F("generation") + 1, **_holdback_before(rollout)
    )
    ended = _end(rollout, DeploymentState.ROLLED_BACK if harmful else DeploymentState.ABORTED, harmful=harmful)
    if not stopped or not ended:
        raise _changed(slot)
    experiment_end(rollout, AbExperiment.State.KEPT if automatic else AbExperiment.State.STOPPED)
    archive(version)
    incident = Incident.objects.create(
        slot=slot,
        version=version,
        deployment=rollout,
        check_made=check,
        reason=reason,
        actor=actor,
        automatic=automatic,
        harmful=harmful,
    )
    if harmful:
        tell_incident(incident, slot, version, slot.stable)
    else:
        tell_ended(
            rollout, slot, version, f"it is stopped without proven harm, and {slot.stable.name} serves everybody"
        )
    incident_record(incident, slot, to=slot.stable_id, deployment=rollout.pk)
    return incident


def rollout_of(slot: ServingSlot) -> Deployment:
    """Return the rollout whose candidate the slot serves. Raises Conflict when none is in progress."""
    rollout = rollout_in(slot)
    if rollout is None:
        raise Conflict(f"no rollout is in progress in the slot {slot}")
    return rollout


def candidate_of(slot: ServingSlot) -> ModelVersion:
    """Return the slot's candidate. Raises Conflict when it has none."""
    if slot.candidate is None:
        raise Conflict(f"the slot {slot} has no candidate; check which version is deployed now")
    return slot.candidate


def _changed(slot: ServingSlot) -> Conflict:
    return Conflict(f"the slot {slot} changed meanwhile; check which version is deployed now")


def _end(rollout: Deployment, state: DeploymentState, *, harmful: bool = False) -> int:
    return Deployment.objects.filter(pk=rollout.pk, state__in=states_before(state)).update(
        state=state, harmful=harmful, waits_for="", finished_at=clock.now()
    )


def _holdback_before(rollout: Deployment) -> dict[str, int | None]:
    """Return the holdback that the rollout replaced, as columns of its slot. A harmful version serves nobody again."""
    holdback = rollout.frozen_policy.get("holdback")
    harmed = Deployment.objects.filter(slot=rollout.slot_id, version=holdback, harmful=True).exists()
    if holdback is None or harmed:
        return {"holdback_id": None, "holdback_bp": 0, "rotates": False}
    terms = rollout.frozen_policy
    return {"holdback_id": holdback, "holdback_bp": int(terms["holdback_bp"]), "rotates": bool(terms["rotates"])}
