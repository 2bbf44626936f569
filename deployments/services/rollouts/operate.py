"""Operate a rollout that is in progress: take the next stage, pause, resume, promote, abort or retry it.

A tick and operators use the same acts. Each is one transaction under the lock of the loop's slots, so that two of them cannot act
on the same state. An act that no longer fits is a Conflict, and nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from core import clock
from core.errors import Conflict, InputError
from deployments.engine.arm_assignment import EPOCH, week_of
from deployments.engine.rollouts.strategies import BESIDE, FULL_ROLLOUT, STRATEGIES, TRIAL
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment, DeploymentState, Incident, ServingSlot
from deployments.selectors.slots import rollout_in
from deployments.services.rollouts.candidate_arm import (
    candidate_noted,
    candidate_promote,
    candidate_share,
    candidate_stop,
)
from deployments.services.rollouts.shadow import shadow_abort, shadow_extend, shadow_pause, shadow_resume
from deployments.services.rollouts.slots import slots_lock
from deployments.services.rollouts.start import rollout_start
from privacy.services.approvals.second_operator import second_operator, second_words
from training.models import ModelVersion, VersionState

ADVANCE, PROMOTE = "advance", "promote"
TICK = "rollout tick"  # the actor of what no operator did


@dataclass(frozen=True)
class LockedRollout:
    """Hold a rollout and its slot as they are under the lock of the loop's slots."""

    rollout: Deployment
    slot: ServingSlot

    @property
    def stages(self) -> tuple[float, ...]:
        """Return the declared shares of the people, one for each stage."""
        terms = self.rollout.frozen_policy
        return tuple(terms.get("stages") or (terms["share_bp"] / BASIS_POINTS,))

    @property
    def is_beside(self) -> bool:
        """Tell whether the version decides beside others, so that nobody gets its actions."""
        return self.rollout.strategy in BESIDE

    @property
    def is_last(self) -> bool:
        """Tell whether everybody follows after the present stage."""
        return self.rollout.stage + 1 >= len(self.stages)

    def share_bp(self, stage: int) -> int:
        """Return the candidate's share in a stage, in basis points."""
        return round(self.stages[stage] * BASIS_POINTS)


def rollout_locked(rollout: Deployment) -> LockedRollout:
    """Lock the loop's slots and read the rollout again. Raises Conflict when it has ended. Call it in a transaction."""
    slot = next(s for s in slots_lock(rollout.slot.loop) if s.pk == rollout.slot_id)
    slot.loop = rollout.slot.loop
    now = rollout_in(slot)
    if now is None or now.pk != rollout.pk:
        ended = Deployment.objects.get(pk=rollout.pk)
        raise Conflict(f"the rollout of {ended.version} is {ended.get_state_display()}; nothing was changed")
    now.slot, now.version = slot, rollout.version
    if slot.candidate_id is not None:
        slot.candidate = rollout.version
    return LockedRollout(now, slot)


@transaction.atomic
def rollout_advance(*, rollout: Deployment, stage: int, actor: str, reason: str) -> Deployment:
    """Give the candidate the next stage's share of the people.

    Args:
        stage: the present stage, as the caller saw it. Another call that advanced meanwhile is then noticed.
    Raises: Conflict when the rollout has ended, is paused, is in another stage, or has no further stage.
    """
    held = _in_progress(rollout)
    if held.rollout.stage != stage:
        raise Conflict(f"the rollout of {rollout.version} is in stage {held.rollout.stage + 1} now; look at it again")
    if held.is_last:
        raise Conflict(f"stage {stage + 1} is the last one of {rollout.version}; promote it instead")
    return candidate_share(
        slot=held.slot,
        share_bp=held.share_bp(stage + 1),
        actor=actor,
        reason=reason,
        stage=stage + 1,
        **_begins(held.rollout),
        waits_for="",
    )


@transaction.atomic
def rollout_ask(*, rollout: Deployment, stage: int, act: str) -> Deployment:
    """Note that an operator is asked to approve ``advance`` or ``promote``. Raises Conflict when it changed meanwhile."""
    held = _in_progress(rollout)
    if held.rollout.stage != stage:
        raise Conflict(f"the rollout of {rollout.version} is in stage {held.rollout.stage + 1} now")
    if held.rollout.waits_for == act:
        return held.rollout
    return candidate_noted(slot=held.slot, actor=TICK, reason=f"asks an operator to {act}", waits_for=act)


@transaction.atomic
def rollout_approve(*, rollout: Deployment, actor: str, reason: str) -> Deployment:
    """Do what the rollout waits for. Raises Conflict when it waits for nothing."""
    held = _in_progress(rollout)
    if not held.rollout.waits_for:
        raise Conflict(f"the rollout of {rollout.version} waits for no approval; its evidence has to say more first")
    if held.rollout.waits_for == ADVANCE:
        return rollout_advance(rollout=rollout, stage=held.rollout.stage, actor=actor, reason=reason)
    return candidate_promote(slot=held.slot, actor=actor, reason=reason)


@transaction.atomic
def rollout_extend(*, rollout: Deployment, stage: int, reason: str) -> Deployment:
    """Let a stage go on for as many weeks again. Raises Conflict when the rollout changed meanwhile."""
    held = _in_progress(rollout)
    if held.rollout.stage != stage:
        raise Conflict(f"the rollout of {rollout.version} is in stage {held.rollout.stage + 1} now")
    note = shadow_extend if held.is_beside else candidate_noted
    return note(
        slot=held.slot,
        actor=TICK,
        reason=reason,
        extended=held.rollout.extended + 1,
        waits_for="",
        deadline_at=_deadline(held.rollout),
    )


@transaction.atomic
def rollout_pause(*, rollout: Deployment, actor: str, reason: str) -> Deployment:
    """Give everybody the stable version until the rollout is resumed. Its people stay drawn.

    Raises: InputError without a reason. Conflict when it has ended or is paused already.
    """
    _check_reason("pausing a rollout", reason)
    held = _in_progress(rollout)
    if held.is_beside:
        return shadow_pause(slot=held.slot, actor=actor, reason=reason)
    return candidate_share(
        slot=held.slot, share_bp=0, actor=actor, reason=reason, state=DeploymentState.PAUSED, waits_for=""
    )


@transaction.atomic
def rollout_resume(*, rollout: Deployment, actor: str, reason: str) -> Deployment:
    """Give the candidate its stage's share again. The stage begins anew, and evidence from before stays evidence of harm.

    Raises: InputError without a reason. Conflict when the rollout is not paused.
    """
    _check_reason("resuming a rollout", reason)
    held = rollout_locked(rollout)
    if held.rollout.state != DeploymentState.PAUSED:
        raise Conflict(f"the rollout of {rollout.version} is {held.rollout.get_state_display()}, so it is not resumed")
    if held.is_beside:
        return shadow_resume(slot=held.slot, actor=actor, reason=reason)
    return candidate_share(
        slot=held.slot,
        share_bp=held.share_bp(held.rollout.stage),
        actor=actor,
        reason=reason,
        state=DeploymentState.IN_PROGRESS,
        **_begins(held.rollout),
    )


@transaction.atomic
def rollout_promote(*, rollout: Deployment, actor: str, reason: str, override: str = "") -> Deployment:
    """Give the candidate to everybody now.

    Args:
        override: why an operator does it before the evidence says so. Its digest is stored in the Trust Vault.
    Raises: InputError without a reason. Conflict when the rollout has ended, when it does not wait for its promotion and there is
        no override, for a trial, which turns judge, and when the loop asks for a second operator.
    """
    _check_reason("promoting a version", reason)
    held = rollout_locked(rollout)
    if held.rollout.strategy == TRIAL:
        raise Conflict(f"{rollout.version} is on trial, which turns judge; deploy it once a look passed")
    if held.is_beside:
        raise Conflict(
            f"the {STRATEGIES[rollout.strategy].label} of {rollout.version} proves no outcome of its actions; "
            "abort it and start another rollout"
        )
    second = _forced(held, override) if held.rollout.waits_for != PROMOTE else ""
    return candidate_promote(slot=held.slot, actor=actor, reason=f"{reason}{second_words(second)}", override=override)


def _forced(held: LockedRollout, override: str) -> str:
    """Return who approved a promotion before its evidence says so, empty where one operator may force it. Raises Conflict."""
    rollout = held.rollout
    if not override.strip():
        raise Conflict(
            f"the evidence does not say yet that {rollout.version} may go to everybody; wait for it, "
            "or give a reason to override it"
        )
    seen = {
        "rollout": rollout.pk, "generation": held.slot.generation, "state": rollout.state, "waits_for": rollout.waits_for,
    }  # fmt: skip
    return second_operator(loop=held.slot.loop, act="promotion", seen=seen)


@transaction.atomic
def rollout_abort(*, rollout: Deployment, actor: str, reason: str, harmful: bool = False) -> Incident:
    """End a rollout: everybody keeps the stable version, and the candidate is archived. One that decided beside others is not.

    Raises: InputError without a reason. Conflict when the rollout has ended.
    """
    held = rollout_locked(rollout)
    if held.is_beside:
        return shadow_abort(rollout=held.rollout, actor=actor, reason=reason, harmful=harmful)
    return candidate_stop(slot=held.slot, actor=actor, reason=reason, automatic=False, harmful=harmful)


@transaction.atomic
def rollout_retry(*, rollout: Deployment, actor: str, reason: str, override: str = "") -> Deployment:
    """Start an ended rollout again by the same strategy, with people drawn anew and fresh evidence.

    Raises: InputError without a reason. Conflict when it has not ended, was harmful, or its version serves or is tried.
    """
    _check_reason("retrying a rollout", reason)
    slots_lock(rollout.slot.loop)
    ended = Deployment.objects.get(pk=rollout.pk)
    if ended.state != DeploymentState.ABORTED or ended.strategy == FULL_ROLLOUT:
        raise Conflict(
            f"the rollout of {rollout.version} is {ended.get_state_display()}; only one that was aborted is retried"
        )
    if Incident.objects.filter(version=rollout.version_id, harmful=True).exists():
        raise Conflict(f"{rollout.version} was taken back for harm; it is never tried again")
    left = VersionState.EVALUATING if ended.strategy in BESIDE else VersionState.ARCHIVED
    again = ModelVersion.objects.filter(pk=rollout.version_id, state=left)
    if not again.update(state=VersionState.EVALUATING):
        raise Conflict(f"{rollout.version} is not in state {left}; check which version is deployed now")
    version = ModelVersion.objects.select_related("loop_version__loop").get(pk=rollout.version_id)
    return rollout_start(
        strategy=ended.strategy, version=version, actor=actor, reason=f"retries a rollout: {reason}", override=override
    )


def _deadline(rollout: Deployment) -> datetime | None:
    """Return when a rollout ends whose stage is extended now. A stage that begins or is extended late gets its weeks."""
    terms = rollout.frozen_policy
    weeks = max(int(terms.get(name) or 0) for name in ("dwell_weeks", "last_weeks", "weeks"))
    if rollout.deadline_at is None:
        return None
    return max(rollout.deadline_at, clock.now() + (weeks + 1) * EPOCH)


def _begins(rollout: Deployment) -> dict[str, Any]:
    """Return the columns of a rollout whose stage begins now. A week in which people change their arm belongs to no stage."""
    now = clock.now()
    starts = [*rollout.stage_starts, week_of(rollout.created_at, now) + 1]
    return {"stage_began_at": now, "stage_starts": starts, "extended": 0, "deadline_at": _deadline(rollout)}


def _in_progress(rollout: Deployment) -> LockedRollout:
    held = rollout_locked(rollout)
    if held.rollout.state != DeploymentState.IN_PROGRESS:
        raise Conflict(f"the rollout of {rollout.version} is {held.rollout.get_state_display()}; nothing was changed")
    return held


def _check_reason(act: str, reason: str) -> None:
    if not reason.strip():
        raise InputError(f"{act} needs a reason; give one, and its digest is stored in the Trust Vault", field="reason")
