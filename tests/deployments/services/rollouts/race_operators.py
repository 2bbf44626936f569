"""Operators who steer one rollout at once, in real processes on one PostgreSQL: each act is done once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from core.errors import Conflict
from deployments.models import Deployment, RolloutAct, ServingSlot
from deployments.selectors.rollouts import rollout_get
from deployments.services.rollouts.operate import (
    rollout_abort,
    rollout_approve,
    rollout_ask,
    rollout_pause,
    rollout_promote,
    rollout_resume,
    rollout_retry,
)
from deployments.services.rollouts.start import rollout_start
from loops.models import LoopVersion
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, judged, learned
from tests.fresh_database import create_tables
from tests.races import in_processes, scenarios

DECLARED = '[rollout]\nstrategy = "canary"\nstages = [0.2, 0.5]\ndwell_weeks = 2\n'
BY_ANN: dict[str, Any] = {"actor": "ann", "reason": "race"}


def main() -> dict[str, Any]:
    create_tables()
    return scenarios(
        paused_at_once,
        approved_at_once,
        aborted_and_retried_at_once,
        promoted_while_others_abort,
        given=care_loop(rollout=DECLARED),
    )


def begun(loop: LoopVersion) -> Deployment:
    version = judged(learned(loop, "policy", ALWAYS_WALK, _stable(loop)))
    return rollout_start(strategy="canary", version=version, **BY_ANN)


def _stable(loop: LoopVersion) -> Any:
    stable = ServingSlot.objects.get(loop=loop.loop, head="policy").stable
    return stable if stable.is_learned else None


def outcome(act: Callable[[], Any], won: str) -> str:
    try:
        act()
        return won
    except Conflict:
        return "refused"


def at_once(rollout: Deployment, act: Callable[..., Any], won: str) -> dict[str, int]:
    """Eight operators do the same, each with the rollout as they read it before."""
    return in_processes(lambda _: Counter([outcome(lambda: act(rollout=rollout_get(rollout.pk), **BY_ANN), won)]))


def books(rollout: Deployment) -> dict[str, Any]:
    rollout.refresh_from_db()
    slot = ServingSlot.objects.get(pk=rollout.slot_id)
    acts = Counter(RolloutAct.objects.filter(deployment=rollout).values_list("act", flat=True))
    return {"state": rollout.state, "stage": rollout.stage, "weight": slot.weight_bp, "acts": dict(acts)}


def paused_at_once(loop: LoopVersion) -> dict[str, Any]:
    made = begun(loop)
    found = {"outcomes": at_once(made, rollout_pause, "paused")} | books(made)
    resumed = {"outcomes": at_once(made, rollout_resume, "resumed")} | books(made)
    rollout_abort(rollout=made, **BY_ANN)
    return {"paused": found, "resumed": resumed}


def approved_at_once(loop: LoopVersion) -> dict[str, Any]:
    made = begun(loop)
    rollout_ask(rollout=made, stage=0, act="advance")
    found = {"outcomes": at_once(made, rollout_approve, "approved")} | books(made)
    rollout_abort(rollout=made, **BY_ANN)
    return found


def aborted_and_retried_at_once(loop: LoopVersion) -> dict[str, Any]:
    made = begun(loop)
    aborted = at_once(made, rollout_abort, "aborted")
    retried = at_once(made, rollout_retry, "retried")
    active = Deployment.objects.filter(state="in_progress")
    found = {"aborted": aborted, "retried": retried, "active": active.count()}
    rollout_abort(rollout=active.get(), **BY_ANN)
    return found


def promoted_while_others_abort(loop: LoopVersion) -> dict[str, Any]:
    made = begun(loop)

    def work(process: int) -> Counter[str]:
        rollout = rollout_get(made.pk)
        if process % 2:
            return Counter([outcome(lambda: rollout_promote(rollout=rollout, override="race", **BY_ANN), "promoted")])
        return Counter([outcome(lambda: rollout_abort(rollout=rollout, **BY_ANN), "aborted")])

    outcomes = in_processes(work)
    made.version.refresh_from_db()
    slot = ServingSlot.objects.get(pk=made.slot_id)
    return {"outcomes": outcomes, "serves": slot.stable_id == made.version_id, "candidate": slot.candidate_id} | books(
        made
    )
