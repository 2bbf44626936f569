"""Slots through any history: something always serves, one deployment a change, and never back to what did harm."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from core.errors import Conflict
from deployments.models import Deployment, ServingSlot
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.rollback import slot_rollback
from deployments.services.rollouts.slots import HOLDBACK_BP, slot_swap, slots_seed
from loops.models import LoopVersion
from privacy.models import VaultEvent
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, learned
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


def slot(loop: LoopVersion) -> ServingSlot:
    return slot_for(loop.loop, "policy")


def swap(loop: LoopVersion, version: ModelVersion, **more: Any) -> Deployment:
    return slot_swap(slot=slot(loop), version=version, actor="ann", reason="better", **more)


def state(version: ModelVersion) -> str:
    return ModelVersion.objects.get(pk=version.pk).state


def test_a_loop_begins_with_its_references_and_explores_little() -> None:
    loop = care_loop()
    slots = list(ServingSlot.objects.order_by("head"))
    assert [(s.head, s.stable.kind, s.stable.config["action"]) for s in slots] == [
        ("policy", "reference", "wait"), ("tone", "reference", "warm"),
    ]  # fmt: skip
    assert {s.exploration_bp for s in slots} == {round(loop.spec.exploration_before * 10_000)}
    assert [s.pk for s in slots_seed(loop_version=loop)] == [slot_for(loop.loop, h.name).pk for h in loop.spec.heads]


def test_deploying_holds_a_few_people_back_and_explores_the_loops_share() -> None:
    loop = care_loop()
    first, second = (learned(loop, "policy", ALWAYS_WALK) for _ in range(2))
    made = swap(loop, first)
    now = slot(loop)
    assert (now.stable, now.holdback, now.holdback_bp) == (first, made.previous, HOLDBACK_BP)
    assert now.exploration_bp == 2_000 and now.generation == 2
    swap(loop, second)
    drawn, now = now.salt, slot(loop)
    assert now.salt != drawn, "others are held back from now on"
    assert (now.stable, now.holdback) == (second, first) and (state(first), state(second)) == ("archived", "deployed")
    assert VaultEvent.objects.filter(kind="deployment", body__version=second.pk, body__previous=first.pk).count() == 1


def test_deploying_without_a_holdback() -> None:
    loop = care_loop()
    swap(loop, learned(loop, "policy", ALWAYS_WALK), holdback_bp=0)
    assert (slot(loop).holdback, slot(loop).holdback_bp) == (None, 0)


def test_a_slot_that_was_read_too_early_is_not_changed() -> None:
    loop = care_loop()
    seen, first, second = slot(loop), *(learned(loop, "policy", ALWAYS_WALK) for _ in range(2))
    swap(loop, first)
    with pytest.raises(Conflict, match="changed meanwhile"):
        slot_swap(slot=seen, version=second, actor="bob", reason="late")
    with pytest.raises(Conflict, match="nothing to roll back"):
        slot_rollback(slot=seen, actor="bob", reason="late", automatic=False, harmful=False)
    assert slot(loop).stable == first and state(second) == "evaluating" and Deployment.objects.count() == 1


@pytest.mark.parametrize("wrong", ["training", "deployed", "archived", "failed"])
def test_only_what_waits_for_it_is_deployed(wrong: str) -> None:
    loop = care_loop()
    version = learned(loop, "policy", ALWAYS_WALK)
    ModelVersion.objects.filter(pk=version.pk).update(state=wrong)
    before = slot(loop)
    with pytest.raises(Conflict, match="not in state evaluating"):
        swap(loop, version)
    assert slot(loop).stable == before.stable and slot(loop).generation == before.generation and state(version) == wrong
    assert not Deployment.objects.exists() and not VaultEvent.objects.filter(kind="deployment").exists()


class SlotMachine(RuleBasedStateMachine):
    """The slot beside a plain model: what serves, how often it changed, and what did harm."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox = transaction.atomic()
        self.sandbox.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.sandbox.__exit__(None, None, None)

    @initialize()
    def add_the_loop(self) -> None:
        self.loop = care_loop()
        self.reference = slot(self.loop).stable_id
        self.now, self.harmful, self.changes = self.reference, set[int](), 0

    @rule(holdback=st.sampled_from([0, 500, 5_000]))
    def deploy(self, holdback: int) -> None:
        version = learned(self.loop, "policy", ALWAYS_WALK)
        swap(self.loop, version, holdback_bp=holdback)
        self.now, self.changes = version.pk, self.changes + 1

    @rule(harmful=st.booleans())
    def take_back(self, harmful: bool) -> None:
        leaving = self.now
        if leaving == self.reference:
            with pytest.raises(Conflict):
                slot_rollback(slot=slot(self.loop), actor="ann", reason="r", automatic=False, harmful=harmful)
            return
        slot_rollback(slot=slot(self.loop), actor="ann", reason="r", automatic=False, harmful=harmful)
        self.harmful |= {leaving} if harmful else set()
        self.now, self.changes = slot(self.loop).stable_id, self.changes + 1
        assert self.now != leaving

    @rule()
    def deploy_again_what_served(self) -> None:
        if self.now != self.reference:
            with pytest.raises(Conflict, match="is deployed already"):
                swap(self.loop, ModelVersion.objects.get(pk=self.now))

    @invariant()
    def something_serves_and_nothing_that_did_harm(self) -> None:
        if not hasattr(self, "loop"):
            return
        now = slot(self.loop)
        assert now.stable_id == self.now and self.now not in self.harmful
        assert now.generation == 1 + self.changes == 1 + Deployment.objects.count()
        learned_now = set(ModelVersion.objects.filter(kind="linear_q", state="deployed").values_list("pk", flat=True))
        assert learned_now == {self.now} - {self.reference}
        last = Deployment.objects.order_by("-pk").first()
        assert last is None or (last.version_id == self.now and last.state == "succeeded")
        assert now.holdback_id not in (self.now, *self.harmful)


def test_any_history_leaves_something_serving() -> None:
    run_state_machine_as_test(SlotMachine, settings=settings(max_examples=20, stateful_step_count=12, deadline=None))
