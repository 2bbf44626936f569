"""Rollouts in stages under many real processes on one PostgreSQL: ticks, health checks and operators at once, some killed."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from core.errors import Conflict, InputError
from deployments.models import Deployment, EvidenceUnit, Incident, RolloutCheck, ServingSlot
from deployments.selectors.slots import rollout_in, slot_for
from deployments.services.health.check import health_tick
from deployments.services.rollouts.operate import (
    rollout_abort,
    rollout_advance,
    rollout_pause,
    rollout_promote,
    rollout_resume,
    rollout_retry,
)
from deployments.services.rollouts.recorded_rollouts import ROLLOUTS
from deployments.services.rollouts.start import rollout_start
from deployments.services.ticks.rollout_tick import rollout_step, rollout_tick
from loops.models import Loop, LoopVersion
from privacy.models import VaultEvent
from tests.factories.care import care_loop
from tests.factories.lived_weeks import begun_before, live_weeks, people_with_keys
from tests.factories.versions import ALWAYS_WALK, judged, learned
from tests.fresh_database import create_tables
from tests.races import in_processes, kill_again_and_again, scenarios
from training.models import ModelVersion

DECLARED = "[rollout]\nstages = [0.2, 0.5]\ndwell_weeks = 2\nextensions = 1\n"
BY: dict[str, Any] = {"actor": "ann", "reason": "race"}
ROUNDS = 12


def main() -> dict[str, Any]:
    create_tables()
    loop = care_loop(rollout=DECLARED)
    return scenarios(one_verdict_by_many_ticks, everybody_at_once, killed_anywhere, given=loop)


def begin(loop: LoopVersion) -> Deployment:
    """A canary of a version that was judged against what serves, after two good weeks in its first stage."""
    serving = slot_for(loop.loop, "policy").stable
    version = judged(learned(loop, "policy", ALWAYS_WALK, serving if serving.is_learned else None))
    made = rollout_start(strategy="canary", version=version, **BY)
    begun_before(made, 2.2)
    live_weeks(made, _people(made), (1, 2))
    return seen(made)


def _people(made: Deployment) -> list[int]:
    known = list(EvidenceUnit.objects.values_list("data_key_id", flat=True).distinct()[:80])
    return known or people_with_keys(made, 80)


def seen(rollout: Deployment) -> Deployment:
    """The rollout as somebody sees it now."""
    return Deployment.objects.select_related("slot__loop", "version__loop_version__loop").get(pk=rollout.pk)


def one_verdict_by_many_ticks(loop: LoopVersion) -> dict[str, Any]:
    """Eight ticks judge one rollout at once: one of them acts."""
    made = begin(loop)
    outcomes = in_processes(lambda _: Counter([tried(lambda: rollout_step(rollout=made))]))
    after = seen(made)
    found = {
        "outcomes": outcomes,
        "stage": after.stage,
        "checks": made.checks.filter(acted=True).count(),
        **books(loop),
    }
    clear(loop)
    return found


def everybody_at_once(loop: LoopVersion) -> dict[str, Any]:
    """One process begins rollouts, two tick, two check health, and three operators act on what they saw a moment ago."""

    def beginner(_: random.Random) -> str:
        return tried(lambda: begin(loop))

    def operator(rng: random.Random) -> str:
        rollout = Deployment.objects.exclude(strategy="full_rollout").order_by("-pk").first()
        if rollout is None:
            return "nothing to do"
        shown = seen(rollout)
        time.sleep(rng.uniform(0.0, 0.02))
        acts: list[Callable[[], Any]] = [
            partial(rollout_pause, rollout=shown, **BY),
            partial(rollout_resume, rollout=shown, **BY),
            partial(rollout_advance, rollout=shown, stage=shown.stage, **BY),
            partial(rollout_promote, rollout=shown, override="urgent", **BY),
            partial(rollout_abort, rollout=shown, **BY),
            partial(rollout_retry, rollout=shown, **BY),
        ]
        return tried(rng.choice(acts))

    def ticker(_: random.Random) -> str:
        return tried(rollout_tick)

    def checker(_: random.Random) -> str:
        return tried(health_tick)

    roles = [beginner, ticker, operator, operator, checker, ticker, operator, checker]

    def work(process: int) -> Counter[str]:
        rng = random.Random(process)
        return Counter(roles[process % len(roles)](rng) for _ in range(ROUNDS))

    found = {"outcomes": in_processes(work), **books(loop)}
    clear(loop)
    return found


def killed_anywhere(loop: LoopVersion) -> dict[str, Any]:
    """Processes that begin, step and end rollouts are killed at random moments."""

    def work(number: int) -> None:
        rng = random.Random(number)
        for _ in range(10_000):
            tried(lambda: begin(loop))
            rollout_tick()
            rollout = rollout_in(slot_for(loop.loop, "policy"))
            if rollout is not None:
                ends: list[Callable[..., Any]] = [partial(rollout_promote, override="urgent"), rollout_abort]
                end = rng.choice(ends)
                tried(partial(end, rollout=seen(rollout), **BY))

    def progress() -> int:
        return Deployment.objects.count() + RolloutCheck.objects.count()

    kill_again_and_again(work, times=5, progress=progress, within=0.3, after_each=lambda: None)
    return books(loop)


def tried(act: Callable[[], Any]) -> str:
    """Whether an act was done or refused."""
    try:
        act()
        return "done"
    except (Conflict, InputError):
        return "refused"


def clear(loop: LoopVersion) -> None:
    """End what is in progress."""
    rollout = rollout_in(slot_for(loop.loop, "policy"))
    if rollout is not None:
        rollout_abort(rollout=seen(rollout), **BY)


def books(loop: LoopVersion) -> dict[str, Any]:
    """Whether the slot, its rollouts, the versions' states and the vault say the same."""
    slot = slot_for(loop.loop, "policy")
    active = Deployment.objects.filter(slot=slot, state__in=["pending", "in_progress", "paused"])
    last = VaultEvent.objects.filter(kind__in=["slot", "deployment", "rollback"]).order_by("sequence").last()
    stored = ROLLOUTS.entries(Loop.objects.filter(pk=loop.loop_id))
    deployed = ModelVersion.objects.learned().filter(state="deployed").values_list("pk", flat=True)
    return {
        "one_rollout": [r.version_id for r in active] == ([slot.candidate_id] if slot.candidate_id else []),
        "share_fits": all(_share_fits(slot, rollout) for rollout in active),
        "one_serves": sorted(deployed) == ([slot.stable_id] if slot.stable.is_learned else []),
        "vault_agrees": last is not None and last.body["rows"].items() >= stored.items(),
        "incidents": Incident.objects.count() == VaultEvent.objects.filter(kind="rollback").count(),
    }


def _share_fits(slot: ServingSlot, rollout: Deployment) -> bool:
    share = round(10_000 * rollout.frozen_policy["stages"][rollout.stage])
    return slot.weight_bp == (0 if rollout.state == "paused" else share)
