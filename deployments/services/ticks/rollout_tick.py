"""Judge every rollout in progress by its frozen terms, store the verdict with all that it used, and do what it says.

A tick may be repeated, killed or run beside another one at any point. It acts under the lock of the loop's slots and only on the
state that it judged. Proven harm is taken back by the health check too, which needs no verdict of a rollout.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.db import Error, transaction

from core import clock
from core.errors import Conflict, R3alError
from deployments.engine.rollouts.ab_test import AbTerms, ab_verdict
from deployments.engine.rollouts.apprentice import APPRENTICE_FINISHED, ApprenticeTerms, apprentice_verdict
from deployments.engine.rollouts.shadow import SHADOW_FINISHED, ShadowTerms, shadow_verdict
from deployments.engine.rollouts.staged import CanaryTerms, canary_verdict
from deployments.engine.rollouts.strategies import AB_TEST, APPRENTICE, BESIDE, CANARY, SHADOW_TEST
from deployments.engine.rollouts.verdict import RolloutVerdict
from deployments.models import Deployment, DeploymentState, RolloutCheck
from deployments.selectors.shadow import last_check, shadow_began
from deployments.selectors.slots import rollouts_now, slot_for
from deployments.services.health.evidence import evidence_fold
from deployments.services.rollouts.candidate_arm import candidate_promote, candidate_stop
from deployments.services.rollouts.operate import (
    ADVANCE,
    PROMOTE,
    TICK,
    rollout_advance,
    rollout_ask,
    rollout_extend,
    rollout_locked,
    rollout_pause,
)
from deployments.services.rollouts.shadow import shadow_end
from deployments.services.ticks.apprentice_facts import apprentice_facts
from deployments.services.ticks.recorded_checks import rollout_check_record
from deployments.services.ticks.shadow_facts import shadow_facts
from deployments.services.ticks.stage_facts import ab_facts, stage_facts
from loops.engine.spec import LoopSpec
from loops.selectors import loop_version_current

log = logging.getLogger(__name__)

Judge = Callable[[Deployment, dict[str, Any], LoopSpec], tuple[RolloutVerdict, dict[str, Any]]]


def rollout_tick() -> int:
    """Judge every rollout that a strategy of this table steps. If one cannot be judged, the error is logged, and others go on.

    Returns: the number of rollouts that changed.
    """
    return sum(_steps(rollout) for rollout in rollouts_now(*_JUDGES))


def _steps(rollout: Deployment) -> bool:
    try:
        check = rollout_step(rollout=rollout)
    except Conflict as error:  # somebody else acted meanwhile, so the next tick judges the new state
        log.info("the rollout %s was not stepped: %s", rollout.pk, error)
        return False
    except (R3alError, Error):
        log.exception("the rollout %s could not be judged", rollout.pk)
        return False
    return check is not None and check.acted


def rollout_step(*, rollout: Deployment) -> RolloutCheck | None:
    """Judge one rollout and do what its verdict says. A paused one is left to operators and to the health check.

    Returns: the stored check, or None if nothing has changed since the last one.
    Raises: Conflict when the rollout changed meanwhile.
    """
    if rollout.state != DeploymentState.IN_PROGRESS:
        _end_forgotten(rollout)
        return None
    slot = slot_for(rollout.slot.loop, rollout.slot.head)
    spec = loop_version_current(slot.loop.name).spec
    evidence_fold(slot=slot)
    verdict, facts = _JUDGES[rollout.strategy](rollout, dict(rollout.frozen_policy), spec)
    last = last_check(rollout)
    if last is not None and _is_same(last, slot.generation, verdict, facts):
        return None
    return _store(rollout, slot.generation, verdict, facts)


@transaction.atomic
def _end_forgotten(rollout: Deployment) -> None:
    """End a rollout that is still paused when its time is over, so that none goes on for ever."""
    held = rollout_locked(rollout)
    over = held.rollout.deadline_at is not None and held.rollout.deadline_at <= clock.now()
    if not over or held.rollout.state != DeploymentState.PAUSED:
        return
    reason = "It was still paused when its time was over, so everybody keeps the stable version."
    if held.is_beside:
        shadow_end(slot=held.slot, finished=False, actor=TICK, reason=reason)
    elif held.slot.candidate is not None:
        candidate_stop(slot=held.slot, actor=TICK, reason=reason, automatic=True, harmful=False)


def _is_same(last: RolloutCheck, generation: int, verdict: RolloutVerdict, facts: dict[str, Any]) -> bool:
    seen = (last.generation, last.stage, last.closed_weeks, last.facts.get("days"), last.step)
    return seen == (generation, facts.get("stage", 0), facts["closed_weeks"], facts.get("days"), verdict.step)


@transaction.atomic
def _store(rollout: Deployment, generation: int, verdict: RolloutVerdict, facts: dict[str, Any]) -> RolloutCheck:
    held = rollout_locked(rollout)
    if held.slot.generation != generation or _judged(held.rollout) != _judged(rollout):
        raise Conflict(f"the slot {held.slot} changed while the rollout was judged")
    check = RolloutCheck.objects.create(
        deployment=rollout,
        generation=generation,
        stage=facts.get("stage", 0),
        closed_weeks=facts["closed_weeks"],
        step=verdict.step,
        label=verdict.label,
        reasons=list(verdict.reasons),
        terms=rollout.frozen_policy,
        facts=facts,
        figures=verdict.figures,
        acted=verdict.step != "wait",
    )
    if verdict.step != "wait":
        _act(held.rollout, verdict)
    rollout_check_record(check)
    return check


def _judged(rollout: Deployment) -> tuple[Any, ...]:
    """Return what a verdict is about. Facts of an earlier stage say nothing of a later one."""
    return (rollout.state, rollout.stage, rollout.stage_starts, rollout.extended, rollout.deadline_at)


def _act(rollout: Deployment, verdict: RolloutVerdict) -> None:
    """Do what a verdict says. Where the terms ask for an operator, the next share waits for their approval."""
    reason, slot = " ".join(verdict.reasons), rollout.slot
    if verdict.step in (ADVANCE, PROMOTE) and rollout.frozen_policy.get("by_hand"):
        rollout_ask(rollout=rollout, stage=rollout.stage, act=verdict.step)
    elif verdict.step == ADVANCE:
        rollout_advance(rollout=rollout, stage=rollout.stage, actor=TICK, reason=reason)
    elif verdict.step == PROMOTE:
        candidate_promote(slot=slot, actor=TICK, reason=f"{verdict.label}: {reason}")
    elif verdict.step == "extend":
        rollout_extend(rollout=rollout, stage=rollout.stage, reason=reason)
    elif verdict.step == "pause":
        rollout_pause(rollout=rollout, actor=TICK, reason=reason)
    elif rollout.strategy in BESIDE:
        finished = verdict.label in (SHADOW_FINISHED, APPRENTICE_FINISHED)
        shadow_end(slot=slot, finished=finished, actor=TICK, reason=reason)
    else:
        harmful = verdict.step == "roll_back"
        candidate_stop(slot=slot, actor=TICK, reason=reason, automatic=True, harmful=harmful)


def _judge_canary(rollout: Deployment, terms: dict[str, Any], spec: LoopSpec) -> tuple[RolloutVerdict, dict[str, Any]]:
    declared, slot = canary_terms(terms), slot_for(rollout.slot.loop, rollout.slot.head)
    facts = stage_facts(rollout, slot, spec, declared, last_check(rollout))
    return canary_verdict(declared, facts), facts.as_json()


def _judge_shadow(rollout: Deployment, terms: dict[str, Any], spec: LoopSpec) -> tuple[RolloutVerdict, dict[str, Any]]:
    facts = shadow_facts(rollout, slot_for(rollout.slot.loop, rollout.slot.head), _last_facts(rollout))
    return shadow_verdict(ShadowTerms.from_json(terms), facts), facts.as_json()


def _judge_apprentice(
    rollout: Deployment, terms: dict[str, Any], spec: LoopSpec
) -> tuple[RolloutVerdict, dict[str, Any]]:
    facts = apprentice_facts(rollout, slot_for(rollout.slot.loop, rollout.slot.head), _last_facts(rollout))
    return apprentice_verdict(ApprenticeTerms.from_json(terms), facts), facts.as_json()


def _last_facts(rollout: Deployment) -> dict[str, Any] | None:
    """Return the facts of the last check, or None if there is none since the rollout began or was resumed."""
    last = last_check(rollout)
    return None if last is None or last.created_at < shadow_began(rollout) else dict(last.facts)


def canary_terms(stored: dict[str, Any]) -> CanaryTerms:
    """Read the terms of a canary from its history."""
    names = CanaryTerms.__dataclass_fields__
    return CanaryTerms.from_json({name: value for name, value in stored.items() if name in names})


def _judge_ab_test(rollout: Deployment, terms: dict[str, Any], spec: LoopSpec) -> tuple[RolloutVerdict, dict[str, Any]]:
    declared, slot = ab_test_terms(terms), slot_for(rollout.slot.loop, rollout.slot.head)
    facts = ab_facts(rollout, slot, spec, declared, last_check(rollout))
    return ab_verdict(declared, facts), facts.as_json(declared)


def ab_test_terms(stored: dict[str, Any]) -> AbTerms:
    """Read the terms of an A/B test from its history."""
    return AbTerms.from_json({name: stored[name] for name in AbTerms.__dataclass_fields__ if name in stored})


_JUDGES: dict[str, Judge] = {
    CANARY: _judge_canary,
    AB_TEST: _judge_ab_test,
    SHADOW_TEST: _judge_shadow,
    APPRENTICE: _judge_apprentice,
}
