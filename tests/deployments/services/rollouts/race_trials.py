"""Trials under many real processes on one PostgreSQL: begun, promoted, stopped and overtaken, some of them killed."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db import transaction

from core.errors import Conflict, InputError
from deployments.models import Deployment, Incident, ServingSlot
from deployments.selectors.slots import slot_for, slot_on_trial
from deployments.services.rollouts.candidate_arm import candidate_promote, candidate_stop
from deployments.services.rollouts.full_rollout import full_rollout
from deployments.services.rollouts.rollback import slot_rollback, version_rollback
from deployments.services.rollouts.slots import slots_lock
from deployments.services.rollouts.trial import trial_start
from loops.models import LoopVersion
from privacy.models import VaultEvent
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, undecided
from tests.fresh_database import create_tables
from tests.races import in_processes, kill_again_and_again, results, scenarios
from training.models import ModelVersion

ROUNDS = 10


def main() -> dict[str, Any]:
    create_tables()
    return scenarios(
        begun_at_once,
        one_version_begun_at_once,
        begun_while_others_deploy_and_take_back,
        promoted_while_somebody_takes_back,
        promoted_while_the_reference_is_taken_back,
        killed_anywhere,
        given=care_loop(),
    )


def slot(loop: LoopVersion) -> ServingSlot:
    return slot_for(loop.loop, "policy")


def candidate(loop: LoopVersion) -> ModelVersion:
    """An undecided version that was judged against what is deployed now."""
    stable = slot(loop).stable
    return undecided(learned(loop, "policy", ALWAYS_WALK, stable if stable.is_learned else None))


def tried(act: Callable[[], Any], won: str) -> str:
    """What came of an act: ``won``, or refused."""
    try:
        act()
        return won
    except (Conflict, InputError):  # also what an override meets that is not needed any more
        return "refused"


def begin(version: ModelVersion) -> str:
    return tried(lambda: trial_start(version=version, actor="turn", reason="race", override=""), "begun")


def stop(loop: LoopVersion) -> str:
    """An operator stops whatever is on trial."""
    found = slot_on_trial(loop.loop)
    if found is None or found.candidate is None:
        return "nothing on trial"
    version = found.candidate
    return tried(lambda: version_rollback(version=version, actor="ann", reason="race", harmful=False), "stopped")


def to_the_reference(loop: LoopVersion) -> None:
    """End the trial, take back what is deployed, and forget harm, so that the next trial begins afresh."""
    stop(loop)
    while slot(loop).stable.is_learned:
        slot_rollback(slot=slot(loop), actor="ann", reason="afresh", automatic=False, harmful=True)
    Deployment.objects.update(harmful=False)
    Incident.objects.update(harmful=False)


def begun_at_once(loop: LoopVersion) -> dict[str, Any]:
    """Every process begins a trial of a version of its own, as the turns of several workers would."""
    versions = [candidate(loop) for _ in range(8)]
    found = {"outcomes": in_processes(lambda i: Counter([begin(versions[i])])), **books(loop)}
    to_the_reference(loop)
    return found


def one_version_begun_at_once(loop: LoopVersion) -> dict[str, Any]:
    """Every process begins a trial of the same version and stops it, again and again, on the version as it read it before."""
    version = candidate(loop)

    def work(_: int) -> Counter[str]:
        return Counter(act for _ in range(4) for act in (begin(version), stop(loop)))

    outcomes = in_processes(work)
    to_the_reference(loop)
    return {"outcomes": outcomes, "trials": Deployment.objects.filter(version=version).count(), **books(loop)}


def by_ann(override: str) -> dict[str, str]:
    return {"actor": "ann", "reason": "race", "override": override}


def _or_by_override(act: Callable[[str], Any], won: str) -> str:
    """What came of an act, or of the same with an override where it was judged against another policy."""
    first = tried(lambda: act(""), won)
    return first if first == won else tried(lambda: act("race"), won)


def begun_while_others_deploy_and_take_back(loop: LoopVersion) -> dict[str, Any]:
    """Processes begin trials, deploy to everybody, stop trials, and take back what is deployed, out of step."""

    undecided_ones = [candidate(loop) for _ in range(8 * ROUNDS)]
    passed = [judged(learned(loop, "policy", ALWAYS_WALK)) for _ in range(8 * ROUNDS)]

    def deploy(turn: int) -> str:
        return _or_by_override(lambda override: full_rollout(version=passed[turn], **by_ann(override)), "deployed")

    def begin_one(turn: int) -> str:
        return _or_by_override(lambda override: trial_start(version=undecided_ones[turn], **by_ann(override)), "begun")

    def take_back(_: int) -> str:
        seen = slot(loop)
        time.sleep(0.002)
        harmless = {"actor": "ann", "reason": "race", "automatic": False, "harmful": False}
        return tried(lambda: slot_rollback(slot=seen, **harmless), "taken back")  # type: ignore[arg-type]

    acts: list[Callable[[int], str]] = [begin_one, deploy, lambda _: stop(loop), take_back]

    def work(process: int) -> Counter[str]:
        outcome, rng = Counter[str](), random.Random(process)
        for i in range(ROUNDS):
            time.sleep(rng.uniform(0.0, 0.1))
            outcome[acts[process % len(acts)](process * ROUNDS + i)] += 1
        return outcome

    outcomes = in_processes(work)
    found = {"outcomes": outcomes, **books(loop)}
    to_the_reference(loop)
    return found


def promoted_while_somebody_takes_back(loop: LoopVersion) -> list[dict[str, Any]]:
    """A turn promotes the trial while an operator takes the version back, on trial or deployed."""
    return [_ended_twice(loop, stopped) for _ in range(ROUNDS)]


def promoted_while_the_reference_is_taken_back(loop: LoopVersion) -> list[dict[str, Any]]:
    """A turn promotes the trial over an incumbent while an operator takes back that incumbent."""

    def take_back(seen: ServingSlot, _: ModelVersion) -> None:
        slot_rollback(slot=seen, actor="ann", reason="race", automatic=False, harmful=True)

    found = []
    for _ in range(ROUNDS):
        full_rollout(version=judged(learned(loop, "policy", TALK_IN_A_GOOD_MOOD)), actor="ann", reason="race")
        found.append(_ended_twice(loop, take_back))
    return found


def stopped(_: ServingSlot, version: ModelVersion) -> None:
    version_rollback(version=version, actor="ann", reason="race", harmful=True)


def _ended_twice(loop: LoopVersion, act: Callable[[ServingSlot, ModelVersion], None]) -> dict[str, Any]:
    version = candidate(loop)
    assert begin(version) == "begun"
    seen = slot(loop)

    def promote() -> None:
        with transaction.atomic():  # as the deploy stage of a turn does
            slots_lock(loop.loop)
            candidate_promote(slot=seen, actor="turn", reason="race")

    def work(process: int) -> str:
        chance = random.Random(f"{version.pk} {process}")
        time.sleep(chance.uniform(0.0, 0.01))
        return tried(promote, "promoted") if process else tried(lambda: act(seen, version), "taken back")

    outcomes = sorted(results(work, 2))
    version.refresh_from_db()
    found = {"outcomes": outcomes, "state": version.state, "serves": slot(loop).stable_id == version.pk, **books(loop)}
    to_the_reference(loop)
    return found


def killed_anywhere(loop: LoopVersion) -> dict[str, Any]:
    """Processes that do nothing but begin trials, promote and stop them are killed at random moments."""

    def work(number: int) -> None:
        rng = random.Random(number)
        for _ in range(10_000):
            begin(candidate(loop))
            found = slot_on_trial(loop.loop)
            if found is None:
                continue
            if rng.random() < 0.5:
                candidate_promote(slot=found, actor="turn", reason="race")
                to_the_reference(loop)
            else:
                candidate_stop(slot=found, actor="turn", reason="race", automatic=True, harmful=False)

    kill_again_and_again(
        work, times=5, progress=Deployment.objects.count, within=0.3, after_each=lambda: to_the_reference(loop)
    )
    return books(loop)


def books(loop: LoopVersion) -> dict[str, Any]:
    """Whether the slot, the trials, the versions' states and the vault say the same."""
    now = slot(loop)
    active = list(Deployment.objects.filter(state="in_progress").values_list("version_id", flat=True))
    deployed = ModelVersion.objects.filter(head="policy", kind="linear_q", state="deployed")
    tried_now = None if now.candidate is None else now.candidate.state
    return {
        "changes": now.generation - 1,
        "in_the_vault": VaultEvent.objects.filter(kind__in=["deployment", "rollback"]).count(),
        "on_trial_once": active == ([now.candidate_id] if now.candidate_id else [])
        and tried_now in (None, "evaluating"),
        "deployed": sorted(
            set(deployed.values_list("pk", flat=True)) ^ ({now.stable_id} if now.stable.is_learned else set())
        ),
        "incidents_and_rollbacks": [Incident.objects.count(), VaultEvent.objects.filter(kind="rollback").count()],
    }
