"""Shadow tests: they change the slot's shadow and nothing else, and the doors of other rollouts open for them too."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.errors import Conflict, InputError
from deployments.models import Deployment, Incident, ServingSlot
from deployments.selectors.health import last_deployment
from deployments.selectors.slots import slot_for
from deployments.services.health.check import health_tick
from deployments.services.rollouts.full_rollout import proposal_of
from deployments.services.rollouts.operate import (
    rollout_abort,
    rollout_advance,
    rollout_approve,
    rollout_pause,
    rollout_promote,
    rollout_resume,
    rollout_retry,
)
from deployments.services.rollouts.rollback import rollback_undo, slot_rollback, version_rollback
from deployments.services.rollouts.shadow import shadow_end
from deployments.services.rollouts.start import rollout_options, rollout_start, strategy_wanted
from deployments.services.serving.policy_cache import clear_policy_cache, served_loop
from loops.models import LoopVersion
from privacy.models import VaultEvent
from privacy.services.vault.verify import vault_verify
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, undecided
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
SAME = ("stable_id", "candidate_id", "weight_bp", "holdback_id", "holdback_bp", "rotates", "exploration_bp", "salt")


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


def slot(loop: LoopVersion) -> ServingSlot:
    return slot_for(loop.loop, "policy")


def deployed(loop: LoopVersion) -> ModelVersion:
    version = judged(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    rollout_start(strategy="full_rollout", version=version, actor="ann", reason="passed")
    return version


def candidate(loop: LoopVersion, parent: ModelVersion | None = None, verdict: str = "pass") -> ModelVersion:
    return judged(learned(loop, "policy", ALWAYS_WALK, parent), verdict)


def shadow(version: ModelVersion, **more: Any) -> Deployment:
    return rollout_start(strategy="shadow_test", version=version, actor="ann", reason="look first", **more)


def ended(made: Deployment) -> tuple[str, ModelVersion | None, str]:
    made.refresh_from_db()
    return (
        made.state,
        ServingSlot.objects.get(pk=made.slot_id).shadow,
        ModelVersion.objects.get(pk=made.version_id).state,
    )


def test_it_changes_the_shadow_and_nothing_else(loop: LoopVersion) -> None:
    serving = deployed(loop)
    before = slot(loop)
    made = shadow(candidate(loop, serving))
    after = slot(loop)
    assert [getattr(after, name) for name in SAME] == [getattr(before, name) for name in SAME]
    assert (after.shadow, after.generation) == (made.version, before.generation + 1)
    assert (made.strategy, made.state, made.previous) == ("shadow_test", "in_progress", serving)
    assert made.frozen_policy["weeks"] == 1 and made.deadline_at is not None
    assert made.deadline_at - timezone.now() > timedelta(days=13)
    assert (
        VaultEvent.objects.filter(kind="deployment", body__deployment=made.pk).exists() and vault_verify().broken == ""
    )


def test_health_goes_on_to_count_from_the_deployment_of_the_stable_version(loop: LoopVersion) -> None:
    serving = deployed(loop)
    before = last_deployment(slot(loop))
    shadow(candidate(loop, serving))
    assert last_deployment(slot(loop)) == before
    assert health_tick() == 0


def test_a_rotating_holdback_is_drawn_as_before(loop: LoopVersion) -> None:
    serving = deployed(loop)
    ServingSlot.objects.filter(pk=slot(loop).pk).update(rotates=True)
    clear_policy_cache()
    before = served_loop("care").main.rotates_since
    shadow(candidate(loop, serving))
    clear_policy_cache()
    assert before is not None and served_loop("care").main.rotates_since == before


def test_a_failed_gate_needs_an_override_and_what_is_undecided_needs_none(loop: LoopVersion) -> None:
    failed = candidate(loop, verdict="fail")
    with pytest.raises(Conflict, match="got the verdict"):
        shadow(failed)
    made = shadow(failed, override="we look at how it fails")
    assert "overridden, because we look" in made.reason
    shadow_end(slot=slot(loop), finished=False, actor="ann", reason="enough")
    assert shadow(undecided(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))).state == "in_progress"


def test_what_was_not_evaluated_or_takes_a_share_is_refused(loop: LoopVersion) -> None:
    raw = learned(loop, "policy", ALWAYS_WALK)
    with pytest.raises(Conflict, match="was not evaluated"):
        shadow(raw)
    with pytest.raises(InputError, match="no share of your choice"):
        shadow(judged(raw), share=0.5)
    assert slot(loop).shadow is None and not Deployment.objects.exists()


def test_one_rollout_a_slot(loop: LoopVersion) -> None:
    shadow(candidate(loop))
    other = judged(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    for strategy in ("canary", "full_rollout", "shadow_test", "ab_test"):
        with pytest.raises(Conflict, match="is in_progress; finish or abort it first"):
            rollout_start(strategy=strategy, version=other, actor="ann", reason="passed")


def test_it_is_paused_resumed_and_aborted_by_the_doors_of_all_rollouts(loop: LoopVersion) -> None:
    made = shadow(candidate(loop))
    rollout_pause(rollout=made, actor="ann", reason="maintenance")
    assert ended(made) == ("paused", None, "evaluating")
    rollout_resume(rollout=made, actor="ann", reason="back")
    assert ended(made) == ("in_progress", made.version, "evaluating")
    incident = rollout_abort(rollout=made, actor="ann", reason="seen enough")
    assert ended(made) == ("aborted", None, "evaluating") and not incident.harmful
    with pytest.raises(Conflict, match="aborted"):
        rollout_resume(rollout=made, actor="ann", reason="again")
    assert vault_verify().broken == ""


def test_a_paused_one_can_be_aborted(loop: LoopVersion) -> None:
    made = shadow(candidate(loop))
    rollout_pause(rollout=made, actor="ann", reason="maintenance")
    rollout_abort(rollout=made, actor="ann", reason="seen enough")
    assert ended(made) == ("aborted", None, "evaluating")


def test_a_rollback_by_hand_ends_it_and_deploys_nothing(loop: LoopVersion) -> None:
    serving = deployed(loop)
    made = shadow(candidate(loop, serving))
    incident = version_rollback(version=made.version, actor="ann", reason="no longer needed", harmful=False)
    assert (incident.deployment, slot(loop).stable) == (made, serving)
    assert ended(made) == ("aborted", None, "evaluating")


def test_it_can_have_harmed_nobody(loop: LoopVersion) -> None:
    made = shadow(candidate(loop))
    with pytest.raises(InputError, match="harmed nobody"):
        version_rollback(version=made.version, actor="ann", reason="bad", harmful=True)
    with pytest.raises(InputError, match="needs a reason"):
        version_rollback(version=made.version, actor="ann", reason=" ", harmful=False)
    assert ended(made)[0] == "in_progress" and not Incident.objects.exists()


def test_it_is_neither_advanced_nor_approved_nor_promoted(loop: LoopVersion) -> None:
    made = shadow(candidate(loop))
    for act in (rollout_approve, rollout_promote):
        with pytest.raises(Conflict):
            act(rollout=made, actor="ann", reason="looks good")
    with pytest.raises(Conflict, match="last one"):
        rollout_advance(rollout=made, stage=0, actor="ann", reason="looks good")
    assert ended(made)[0] == "in_progress"


def test_an_aborted_one_is_retried(loop: LoopVersion) -> None:
    made = shadow(candidate(loop))
    rollout_abort(rollout=made, actor="ann", reason="a fault of the server")
    again = rollout_retry(rollout=made, actor="ann", reason="mended")
    assert again.pk != made.pk and ended(again) == ("in_progress", made.version, "evaluating")


def test_afterwards_any_other_strategy_may_roll_the_version_out(loop: LoopVersion) -> None:
    made = shadow(candidate(loop))
    shadow_end(slot=slot(loop), finished=True, actor="rollout tick", reason="shadow finished")
    assert ended(made) == ("succeeded", None, "evaluating")
    options = rollout_options(proposal_of(made.version)).strategies
    assert {"full_rollout", "canary", "ab_test", "shadow_test"} <= set(options)
    rollout_start(strategy="canary", version=made.version, actor="ann", reason="it decided well")
    assert slot(loop).candidate == made.version


def test_a_finished_test_is_nothing_to_roll_back_to(loop: LoopVersion) -> None:
    serving = deployed(loop)
    made = shadow(candidate(loop, serving))
    shadow_end(slot=slot(loop), finished=True, actor="rollout tick", reason="shadow finished")
    slot_rollback(slot=slot(loop), actor="health check", reason="harm", automatic=True, harmful=True)
    assert slot(loop).stable.is_learned is False and ended(made) == ("succeeded", None, "evaluating")


def test_a_rollback_of_the_stable_version_ends_the_test_beside_it(loop: LoopVersion) -> None:
    serving = deployed(loop)
    made = shadow(candidate(loop, serving))
    slot_rollback(slot=slot(loop), actor="health check", reason="harm", automatic=True, harmful=True)
    assert ended(made) == ("aborted", None, "evaluating") and vault_verify().broken == ""


def test_a_rollback_is_not_undone_beside_a_test_and_is_after_it(loop: LoopVersion) -> None:
    serving = deployed(loop)
    incident = slot_rollback(slot=slot(loop), actor="ann", reason="mistake", automatic=False, harmful=False)
    made = shadow(candidate(loop))
    with pytest.raises(Conflict, match="the shadow test of"):
        rollback_undo(incident=incident, actor="ann", reason="it was fine")
    rollout_abort(rollout=made, actor="ann", reason="enough")
    rollback_undo(incident=incident, actor="ann", reason="it was fine")
    assert slot(loop).stable == serving


def test_a_loop_that_declares_it_has_it_once_and_for_its_weeks() -> None:
    loop = care_loop(rollout='[rollout]\nstrategy = "shadow_test"\nweeks = 3\n')
    version = candidate(loop)
    assert strategy_wanted(version) == "shadow_test"
    assert shadow(version).frozen_policy["weeks"] == 3
    shadow_end(slot=slot(loop), finished=True, actor="rollout tick", reason="shadow finished")
    assert strategy_wanted(version) != "shadow_test"


def test_a_stale_end_changes_nothing(loop: LoopVersion) -> None:
    made = shadow(candidate(loop))
    seen = slot(loop)
    rollout_pause(rollout=made, actor="ann", reason="maintenance")
    with pytest.raises(Conflict, match="changed meanwhile"):
        shadow_end(slot=seen, finished=True, actor="rollout tick", reason="shadow finished")
    assert ended(made) == ("paused", None, "evaluating")
