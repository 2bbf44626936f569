"""Slots under many real processes on one PostgreSQL, some of them killed."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

from django.db import connection

from core.errors import Conflict
from deployments.models import Deployment, Incident, ServingSlot
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.rollback import slot_rollback
from deployments.services.rollouts.slots import slot_swap
from loops.models import LoopVersion
from privacy.models import VaultEvent
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, learned
from tests.fresh_database import create_tables
from tests.races import in_processes, kill_again_and_again, scenarios
from training.models import ModelVersion

ROUNDS = 12


def main() -> dict[str, Any]:
    create_tables()
    return scenarios(
        one_slot_as_all_saw_it, deploying_and_taking_back, readers_meanwhile, killed_anywhere, given=care_loop()
    )


def slot(loop: LoopVersion) -> ServingSlot:
    return slot_for(loop.loop, "policy")


def deploy(seen: ServingSlot, version: ModelVersion) -> str:
    try:
        slot_swap(slot=seen, version=version, actor="operator", reason="race")
        return "won"
    except Conflict:
        return "lost"


def one_slot_as_all_saw_it(loop: LoopVersion) -> dict[str, Any]:
    """Every process deploys a version of its own to the slot as all of them read it."""
    seen, versions = slot(loop), [learned(loop, "policy", ALWAYS_WALK) for _ in range(8)]
    return {"outcomes": in_processes(lambda i: Counter([deploy(seen, versions[i])])), **books(loop)}


def deploying_and_taking_back(loop: LoopVersion) -> dict[str, Any]:
    """Half of the processes deploy, half take back, each on what it reads at that moment; pauses keep them out of step."""
    versions = [learned(loop, "policy", ALWAYS_WALK) for _ in range(8 * ROUNDS)]

    def work(process: int) -> Counter[str]:
        outcome, rng = Counter[str](), random.Random(process)
        for i in range(ROUNDS):
            time.sleep(rng.uniform(0.0, 0.25))
            seen = slot(loop)
            time.sleep(0.002)
            outcome[deploy(seen, versions[process * ROUNDS + i]) if process % 2 else take_back(seen)] += 1
        return outcome

    outcomes = in_processes(work)
    gone_back = [
        i.version_id
        for i in Incident.objects.filter(harmful=True).select_related("deployment__rolled_back_by")
        if Deployment.objects.filter(version=i.version_id, pk__gt=i.deployment.rolled_back_by.pk).exists()
    ]
    return {"outcomes": outcomes, "gone_back_to_harm": len(gone_back), **books(loop)}


def take_back(seen: ServingSlot) -> str:
    try:
        slot_rollback(slot=seen, actor="operator", reason="race", automatic=False, harmful=seen.generation % 2 == 0)
        return "taken back"
    except Conflict:
        return "not taken back"


def readers_meanwhile(loop: LoopVersion) -> dict[str, int]:
    """Two processes change the slot, six read which learned versions are deployed: with the slot's, there is exactly one."""
    versions = [learned(loop, "policy", ALWAYS_WALK) for _ in range(2 * ROUNDS)]

    def work(process: int) -> Counter[str]:
        if process < 2:
            return Counter(deploy(slot(loop), v) for v in versions[process * ROUNDS :][:ROUNDS])
        return Counter(f"saw {_deployed(loop)}" for _ in range(100))

    return in_processes(work)


def _deployed(loop: LoopVersion) -> int:
    """In one statement, so of one moment: the slot's version where it is deployed, and other learned ones that are."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM serving_slots s JOIN model_versions v ON v.loop_version_id = %s AND v.head = s.head"
            " WHERE s.loop_id = %s AND s.head = 'policy' AND v.state = 'deployed'"
            " AND (v.id = s.stable_id OR v.kind = 'linear_q')",
            [loop.pk, loop.loop_id],
        )
        return int(cursor.fetchone()[0])


def killed_anywhere(loop: LoopVersion) -> dict[str, Any]:
    """Processes that do nothing but deploy and take back are killed at random moments."""

    def work(_: int) -> None:
        for _ in range(10_000):
            deploy(slot(loop), learned(loop, "policy", ALWAYS_WALK))
            take_back(slot(loop))

    kill_again_and_again(work, times=6, progress=Deployment.objects.count, within=0.2)
    return books(loop)


def books(loop: LoopVersion) -> dict[str, Any]:
    """Whether the slot, the versions' states, the history and the vault say the same."""
    now, last = slot(loop), Deployment.objects.latest("pk")
    deployed = ModelVersion.objects.filter(head="policy", kind="linear_q", state="deployed")
    return {
        "changes": now.generation - 1,
        "deployments": Deployment.objects.count(),
        "in_the_vault": VaultEvent.objects.filter(kind__in=["deployment", "rollback"]).count(),
        "taken_back": Deployment.objects.filter(state="rolled_back").count(),
        "incidents": Incident.objects.count(),
        "serves_the_last": now.stable_id == last.version_id and last.state == "succeeded",
        "deployed": sorted(set(deployed.values_list("pk", flat=True)) - {now.stable_id}),
    }
