"""Let a version decide beside the stable one or beside the app, so that nobody gets its actions. A tick judges and ends that.

Only the slot's ``shadow`` changes, and in an apprenticeship ``app_chooses``. Arms, holdback, exploration and the stable version's
health go on as they are. The version stays in state evaluating, so any other strategy may roll it out afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import F

from core import clock
from core.errors import Conflict, InputError
from deployments.engine.arm_assignment import EPOCH
from deployments.engine.rollouts.shadow import SHADOW_WEEKS, ShadowTerms
from deployments.engine.rollouts.strategies import APPRENTICE, SHADOW_TEST, STRATEGIES
from deployments.engine.rollouts.transitions import states_before
from deployments.models import Deployment, DeploymentState, Incident, ServingSlot
from deployments.services.rollouts.candidate_arm import act_record, rollout_of
from deployments.services.rollouts.full_rollout import objections, overridden, proposal_under_lock, serving_check
from deployments.services.rollouts.gate_standing import gate_standing
from deployments.services.rollouts.recorded_rollouts import rollouts_entry
from deployments.services.rollouts.rollout_notices import tell_changed, tell_ended
from deployments.services.rollouts.slots import deployment_record, slots_lock
from loops.engine.spec import DeclaredRollout
from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from privacy.services.vault.commitments import text_digest
from training.models import ModelVersion, VersionState


def shadow_start(*, version: ModelVersion, actor: str, reason: str, override: str = "") -> Deployment:
    """Let a version decide beside the stable one for the declared weeks. ``override`` and errors: see ``beside_start``."""
    return beside_start(
        strategy=SHADOW_TEST, terms_of=shadow_terms, version=version, actor=actor, reason=reason, override=override
    )


@transaction.atomic
def beside_start(
    *,
    strategy: str,
    terms_of: Callable[[DeclaredRollout], ShadowTerms],
    version: ModelVersion,
    actor: str,
    reason: str,
    override: str,
) -> Deployment:
    """Let a version decide beside others, so that nobody gets its actions.

    Args:
        terms_of: returns the terms from what the loop declares.
        override: why it is tested although its gate failed. Other objections need none, because nobody gets its actions.
    Raises: Conflict when the version waits for no rollout, was not evaluated or cannot serve, when the gate failed and there is
        no override, or when the slot or the version changed meanwhile. InputError when there is nothing to override.
    """
    proposal = proposal_under_lock(version)
    standing = gate_standing(version)
    standing.evaluated_check("tested")
    serving_check(proposal)
    against = standing.objection or (objections(proposal) if override.strip() else "")  # it harms nobody
    reason, override = overridden(version, against, reason, override)
    terms, slot = terms_of(proposal.current.spec.rollout), proposal.slot
    _lock_version(version)
    _set_shadow(slot, version, before=None, app_chooses=strategy == APPRENTICE)
    longest = terms.weeks * (1 + terms.extensions) * EPOCH
    return deployment_record(
        slot, version, strategy, actor, reason, override,
        share_bp=0, frozen_policy={"share_bp": 0} | terms.as_json(), active=True, deadline_at=clock.now() + longest,
    )  # fmt: skip


def shadow_terms(declared: DeclaredRollout) -> ShadowTerms:
    """Return the terms of a shadow test. The declared weeks are its own only in a loop that declares a shadow test."""
    return ShadowTerms(weeks=declared.weeks if declared.strategy == SHADOW_TEST else SHADOW_WEEKS)


def was_beside(version: ModelVersion, strategy: str) -> bool:
    """Tell whether such a rollout of the version, which gives nobody its actions, has finished."""
    return version.deployments.filter(strategy=strategy, state=DeploymentState.SUCCEEDED).exists()


def _lock_version(version: ModelVersion) -> None:
    """Raise Conflict if the version changed its state since it was read."""
    waiting = ModelVersion.objects.filter(pk=version.pk, state=VersionState.EVALUATING)
    if not waiting.update(state=VersionState.EVALUATING):
        raise Conflict(f"{version} is no longer in state evaluating, so it cannot be tested")


@transaction.atomic
def shadow_pause(*, slot: ServingSlot, actor: str, reason: str) -> Deployment:
    """Let the shadow decide no more until it is resumed. The app's own choices are served no more either.

    Raises: Conflict when the slot or the test changed meanwhile.
    """
    rollout = rollout_of(slot)
    _set_shadow(slot, None, before=rollout.version)
    return _noted(slot, rollout, actor, reason, state=DeploymentState.PAUSED)


@transaction.atomic
def shadow_resume(*, slot: ServingSlot, actor: str, reason: str) -> Deployment:
    """Let the shadow decide again. Its time begins anew. Raises Conflict when the slot or the test changed meanwhile."""
    rollout, now = rollout_of(slot), clock.now()
    terms = ShadowTerms.from_json(rollout.frozen_policy)
    _set_shadow(slot, rollout.version, before=None, app_chooses=rollout.strategy == APPRENTICE)
    return _noted(
        slot, rollout, actor, reason, state=DeploymentState.IN_PROGRESS, stage_began_at=now, extended=0,
        deadline_at=now + terms.weeks * (1 + terms.extensions) * EPOCH,
    )  # fmt: skip


@transaction.atomic
def shadow_extend(*, slot: ServingSlot, actor: str, reason: str, **changes: Any) -> Deployment:
    """Let a shadow test go on for as much time again. Raises Conflict when the test changed meanwhile."""
    return _noted(slot, rollout_of(slot), actor, reason, **changes)


@transaction.atomic
def shadow_end(*, slot: ServingSlot, finished: bool, actor: str, reason: str) -> Deployment:
    """End a shadow test. The version stays in state evaluating.

    Args:
        finished: whether it ran its time and saw enough. Otherwise it is aborted.
    Raises: Conflict when the slot or the test changed meanwhile.
    """
    rollout = rollout_of(slot)
    _set_shadow(slot, None, before=rollout.version if rollout.state == DeploymentState.IN_PROGRESS else None)
    state = DeploymentState.SUCCEEDED if finished else DeploymentState.ABORTED
    return _noted(slot, rollout, actor, reason, state=state, finished_at=clock.now())


@transaction.atomic
def shadow_abort(*, rollout: Deployment, actor: str, reason: str, harmful: bool = False) -> Incident:
    """End a shadow test by hand.

    Raises: InputError without a reason, and for harm, which nobody can have had. Conflict when it has ended.
    """
    if not reason.strip():
        label = STRATEGIES[rollout.strategy].label
        raise InputError(f"stopping the {label} needs a reason; give one, and it is stored with the incident")
    if harmful:
        raise InputError(f"nobody had {rollout.version}, so it harmed nobody; leave out that it was harmful")
    slot = next(s for s in slots_lock(rollout.slot.loop) if s.pk == rollout.slot_id)
    slot.loop = rollout.slot.loop
    ended = shadow_end(slot=slot, finished=False, actor=actor, reason=reason)
    if ended.pk != rollout.pk:
        raise _test_changed(slot)
    incident = Incident.objects.create(
        slot=slot, version=ended.version, deployment=ended, reason=reason, actor=actor, automatic=False, harmful=False
    )
    body = {
        "slot": str(slot), "version": ended.version_id, "to": slot.stable_id, "deployment": ended.pk, "incident": incident.pk,
        "automatic": False, "harmful": False, "actor": actor, "reason": text_digest(reason),
    }  # fmt: skip
    vault_append(kind=VaultKind.ROLLBACK, body=body, rows=rollouts_entry(slot.loop_id))
    return incident


def _set_shadow(
    slot: ServingSlot, shadow: ModelVersion | None, *, before: ModelVersion | None, app_chooses: bool = False
) -> None:
    """Change the slot's shadow, if the slot is as it was read and its shadow is ``before``. Raises Conflict otherwise."""
    changed = ServingSlot.objects.filter(
        pk=slot.pk, generation=slot.generation, candidate__isnull=True, shadow=before, stable=slot.stable_id
    ).update(shadow=shadow, app_chooses=app_chooses, generation=F("generation") + 1)
    if not changed:
        raise _test_changed(slot)


def _noted(slot: ServingSlot, rollout: Deployment, actor: str, reason: str, **changes: Any) -> Deployment:
    """Change columns of the rollout, and record them in its timeline and in the Trust Vault."""
    before = states_before(str(changes["state"])) if "state" in changes else (rollout.state,)
    if not Deployment.objects.filter(pk=rollout.pk, state__in=before).update(**changes):
        raise _test_changed(slot)
    rollout.refresh_from_db()
    if rollout.finished_at is None:
        act_record(rollout, 0, actor, reason, changes)
        tell_changed(rollout, slot, rollout.version, changes, by=actor, reason=reason)
    else:
        finished = rollout.state == DeploymentState.SUCCEEDED
        outcome = "its time is over, and the version waits for another rollout" if finished else "it was stopped"
        tell_ended(rollout, slot, rollout.version, outcome)
    body = {
        "slot": str(slot), "version": rollout.version_id, "deployment": rollout.pk, "share_bp": 0, "stage": rollout.stage,
        "state": rollout.state, "actor": actor, "reason": text_digest(reason),
    }  # fmt: skip
    vault_append(kind=VaultKind.SLOT, body=body, rows=rollouts_entry(slot.loop_id))
    return rollout


def _test_changed(slot: ServingSlot) -> Conflict:
    return Conflict(f"the slot {slot} changed meanwhile; check which rollout is in progress now")
