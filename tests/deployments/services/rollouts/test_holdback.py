"""Whose holdback is drawn anew each week: that of a small loop, by what was already released about its size."""

from __future__ import annotations

import pytest

from deployments.models import ServingSlot
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.rollback import slot_rollback
from deployments.services.rollouts.slots import slot_swap
from deployments.services.serving.policy_cache import clear_policy_cache, served_loop
from loops.models import LoopVersion
from privacy.models import Release
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, learned

pytestmark = pytest.mark.django_db(transaction=True)


def _release(loop: LoopVersion, **columns: object) -> Release:
    facts = {"purpose": "training", "technique": "differential_privacy", "mechanism": "m", "guarantee": "g"}
    return Release.objects.create(loop_version=loop, policy_cost=1, **facts, **columns)


def deployed(
    loop: LoopVersion, people: list[float | None], rotates: bool | None = None, holdback_bp: int = 500
) -> ServingSlot:
    """The policy's slot after a version was deployed whose releases counted so many people, under noise."""
    version = learned(loop, "policy", ALWAYS_WALK)
    version.releases.set([_release(loop, noisy_users=n, key=f"{version.pk}-{i}") for i, n in enumerate(people)])
    slot_swap(
        slot=slot_for(loop.loop, "policy"), version=version, strategy="full_rollout", actor="ann", reason="better",
        rotates=rotates, holdback_bp=holdback_bp,
    )  # fmt: skip
    clear_policy_cache()
    return slot_for(loop.loop, "policy")


@pytest.mark.parametrize(
    ("people", "rotates"), [([400.0, 1_990.5], True), ([400.0, 2_100.0], False), ([], False), ([None], False)]
)
def test_it_rotates_in_a_small_loop(people: list[float | None], rotates: bool) -> None:
    assert deployed(care_loop(), people).rotates is rotates


def test_who_deploys_may_say_otherwise() -> None:
    loop = care_loop()
    assert not deployed(loop, [400.0], rotates=False).rotates
    assert deployed(loop, [9_000.0], rotates=True).rotates
    assert not deployed(loop, [400.0], holdback_bp=0).rotates, "nobody is held back"


def test_serving_counts_its_weeks_from_the_deployment_and_forgets_them_on_a_rollback() -> None:
    loop = care_loop()
    slot = deployed(loop, [400.0])
    began = slot.deployments.latest("pk").created_at
    assert served_loop("care").main.rotates_since == began
    assert {arms.slot.rotates_since for arms in served_loop("care").arms} == {began, None}, (
        "the other head holds nobody back"
    )
    slot_rollback(slot=slot, actor="ann", reason="worse", automatic=False, harmful=False)
    clear_policy_cache()
    assert served_loop("care").main.rotates_since is None and not slot_for(loop.loop, "policy").rotates
