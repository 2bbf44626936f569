"""Rollouts through any history of operators, ticks and stale views: one state, one arm, and nobody without a version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from core.errors import Conflict, InputError
from deployments.engine.rollouts.strategies import BESIDE
from deployments.engine.rollouts.transitions import ACTIVE_STATES, TRANSITIONS, states_before
from deployments.models import Deployment, ServingSlot
from deployments.selectors.slots import rollout_in, slot_for
from deployments.services.rollouts.operate import (
    rollout_abort,
    rollout_advance,
    rollout_approve,
    rollout_ask,
    rollout_extend,
    rollout_pause,
    rollout_promote,
    rollout_resume,
    rollout_retry,
)
from deployments.services.rollouts.recorded_rollouts import ROLLOUTS
from deployments.services.rollouts.rollback import slot_rollback
from deployments.services.rollouts.start import rollout_start
from loops.models import Loop
from privacy.models import VaultEvent
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, judged, learned
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
BY: dict[str, Any] = {"actor": "ann", "reason": "because"}
ACTS: dict[str, Callable[[Deployment], Any]] = {
    "advance": lambda r: rollout_advance(rollout=r, stage=r.stage, **BY),
    "ask to advance": lambda r: rollout_ask(rollout=r, stage=r.stage, act="advance"),
    "ask to promote": lambda r: rollout_ask(rollout=r, stage=r.stage, act="promote"),
    "approve": lambda r: rollout_approve(rollout=r, **BY),
    "extend": lambda r: rollout_extend(rollout=r, stage=r.stage, reason="too little"),
    "pause": lambda r: rollout_pause(rollout=r, **BY),
    "resume": lambda r: rollout_resume(rollout=r, **BY),
    "promote": lambda r: rollout_promote(rollout=r, override="it is urgent", **BY),
    "abort": lambda r: rollout_abort(rollout=r, **BY),
    "take back": lambda r: rollout_abort(rollout=r, **BY, harmful=True),
    "retry": lambda r: rollout_retry(rollout=r, **BY),
}


class RolloutMachine(RuleBasedStateMachine):
    """Acts on rollouts as they were seen at any earlier time. What no longer fits is a Conflict that changes nothing."""

    @initialize()
    def begin(self) -> None:
        self.saved = transaction.atomic()
        self.saved.__enter__()
        self.loop = care_loop(rollout="[rollout]\nstages = [0.1, 0.3, 0.6]\n")
        self.seen: list[Deployment] = []

    def teardown(self) -> None:
        if hasattr(self, "saved"):
            transaction.set_rollback(True)
            self.saved.__exit__(None, None, None)

    @rule(strategy=st.sampled_from(["canary", "ab_test", "shadow_test", "apprentice", "full_rollout"]))
    def start(self, strategy: str) -> None:
        serving = self.slot.stable
        parent = serving if serving.is_learned else None
        version = judged(learned(self.loop, "policy", ALWAYS_WALK, parent))
        if not self.attempt(lambda: rollout_start(strategy=strategy, version=version, **BY)):
            self.attempt(lambda: rollout_start(strategy=strategy, version=version, override="on purpose", **BY))
        self.seen += Deployment.objects.filter(version=version).select_related(
            "slot__loop", "version__loop_version__loop"
        )

    @rule(data=st.data(), act=st.sampled_from(sorted(ACTS)))
    def act(self, data: st.DataObject, act: str) -> None:
        """Somebody acts on what they see now, or on what they saw before."""
        now = rollout_in(self.slot)
        if now is None and not self.seen:
            return
        fresh = [now] * 3 if now is not None else []
        rollout = data.draw(st.sampled_from([*fresh, *self.seen[-4:]]))
        before = Deployment.objects.get(pk=rollout.pk).state
        if self.attempt(lambda: ACTS[act](rollout)):
            after = Deployment.objects.get(pk=rollout.pk).state
            assert before == after or after in TRANSITIONS[before]

    @rule(harmful=st.booleans())
    def roll_back(self, harmful: bool) -> None:
        self.attempt(lambda: slot_rollback(slot=self.slot, automatic=False, harmful=harmful, **BY))

    @property
    def slot(self) -> ServingSlot:
        return slot_for(self.loop.loop, "policy")

    def attempt(self, act: Callable[[], Any]) -> bool:
        """Whether the act was done. One that does not fit leaves every row as it was."""
        before = self.rows()
        try:
            with transaction.atomic():
                act()
        except (Conflict, InputError):
            assert self.rows() == before
            return False
        return True

    def rows(self) -> list[list[tuple[Any, ...]]]:
        every = (ServingSlot, Deployment, ModelVersion)
        return [list(model.objects.order_by("pk").values_list()) for model in every]

    @invariant()
    def one_rollout_and_its_arm(self) -> None:
        if not hasattr(self, "loop"):
            return
        slot = self.slot
        active = list(Deployment.objects.filter(slot=slot, state__in=ACTIVE_STATES))
        beside = [rollout for rollout in active if rollout.strategy in BESIDE]
        assert len(active) - len(beside) == (slot.candidate is not None)
        self.decides_beside(slot, beside)
        if slot.candidate is None:
            assert slot.weight_bp == 0
            return
        (rollout,) = active
        assert rollout == rollout_in(slot) and rollout.version == slot.candidate
        share = round(10_000 * rollout.frozen_policy["stages"][rollout.stage])
        assert slot.weight_bp == (0 if rollout.state == "paused" else share)
        assert rollout.stage_starts == sorted(rollout.stage_starts) and rollout.version.state == "evaluating"

    def decides_beside(self, slot: ServingSlot, rollouts: list[Deployment]) -> None:
        """Only what runs decides beside others, and only beside an apprentice the app chooses."""
        running = [rollout for rollout in rollouts if rollout.state == "in_progress"]
        assert [rollout.version_id for rollout in running] == ([] if slot.shadow_id is None else [slot.shadow_id])
        assert slot.app_chooses == any(rollout.strategy == "apprentice" for rollout in running)

    @invariant()
    def one_version_serves_and_no_harmful_one(self) -> None:
        if not hasattr(self, "loop"):
            return
        slot = self.slot
        deployed = ModelVersion.objects.learned().filter(state="deployed")
        assert [v.pk for v in deployed] == ([slot.stable_id] if slot.stable.is_learned else [])
        harmful = set(Deployment.objects.filter(harmful=True).values_list("version_id", flat=True))
        assert not harmful & {slot.stable_id, slot.candidate_id, slot.holdback_id}

    @invariant()
    def the_vault_knows_the_state(self) -> None:
        if not hasattr(self, "loop"):
            return
        kinds = ("slot", "deployment", "rollback")
        last = VaultEvent.objects.filter(kind__in=kinds).order_by("sequence").last()
        stored = ROLLOUTS.entries(Loop.objects.filter(pk=self.loop.loop_id))
        assert last is not None and last.body["rows"].items() >= stored.items()


def test_no_history_breaks_a_slot() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        RolloutMachine, settings=settings(max_examples=15, stateful_step_count=25, deadline=None)
    )


@pytest.mark.slow
def test_no_long_history_breaks_a_slot() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        RolloutMachine, settings=settings(max_examples=200, stateful_step_count=60, deadline=None)
    )


def test_states_are_entered_along_the_table_alone() -> None:
    assert states_before("paused") == ("in_progress",)
    assert states_before("in_progress") == ("pending", "paused")
    assert states_before("succeeded") == ("in_progress", "paused")
    assert all(not TRANSITIONS[state] for state in ("rolled_back", "aborted", "failed"))
    with pytest.raises(KeyError):
        states_before("gone")
