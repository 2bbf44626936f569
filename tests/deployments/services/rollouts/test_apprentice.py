"""Apprenticeships: they serve the app's own choices, change nothing else in the slot, and share the doors of all rollouts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from core.errors import Conflict, InputError
from deployments.models import Deployment, RolloutAct, ServingSlot
from deployments.selectors.health import last_deployment
from deployments.selectors.slots import slot_for
from deployments.selectors.timeline import timeline_of
from deployments.services.rollouts.full_rollout import proposal_of
from deployments.services.rollouts.operate import (
    rollout_abort,
    rollout_pause,
    rollout_promote,
    rollout_resume,
    rollout_retry,
)
from deployments.services.rollouts.rollback import slot_rollback, version_rollback
from deployments.services.rollouts.shadow import shadow_end
from deployments.services.rollouts.start import rollout_options, rollout_start, strategy_wanted
from loops.models import LoopVersion
from notices.models import Notice
from privacy.models import VaultEvent
from privacy.services.vault.verify import vault_verify
from tests.factories.apprentices import apprentice
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


def walker(loop: LoopVersion, verdict: str = "pass") -> ModelVersion:
    return judged(learned(loop, "policy", ALWAYS_WALK), verdict)


def stands(made: Deployment) -> tuple[str, bool, bool, str]:
    """State of the rollout, whether the version decides beside, whether the app chooses, and the version's state."""
    made.refresh_from_db()
    slot = ServingSlot.objects.get(pk=made.slot_id)
    state = ModelVersion.objects.get(pk=made.version_id).state
    return made.state, slot.shadow_id == made.version_id, slot.app_chooses, state


def test_it_lets_the_app_choose_and_changes_nothing_else(loop: LoopVersion) -> None:
    serving = judged(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    rollout_start(strategy="full_rollout", version=serving, actor="ann", reason="passed")
    before, watched = slot(loop), last_deployment(slot(loop))
    made = apprentice(judged(learned(loop, "policy", ALWAYS_WALK, serving)))
    after = slot(loop)
    assert [getattr(after, name) for name in SAME] == [getattr(before, name) for name in SAME]
    assert stands(made) == ("in_progress", True, True, "evaluating") and after.generation == before.generation + 1
    assert (made.strategy, made.previous, made.frozen_policy["weeks"]) == ("apprentice", serving, 4)
    assert made.deadline_at is not None and made.deadline_at - timezone.now() > timedelta(days=55)
    assert last_deployment(slot(loop)) == watched, "the health of what serves is counted as before"
    assert VaultEvent.objects.filter(kind="deployment", body__deployment=made.pk).exists()
    assert vault_verify().broken == ""


def test_a_shadow_test_lets_nobody_choose(loop: LoopVersion) -> None:
    made = rollout_start(strategy="shadow_test", version=walker(loop), actor="ann", reason="look first")
    assert stands(made) == ("in_progress", True, False, "evaluating")


def test_a_pause_gives_everybody_the_stable_version_and_a_resumption_the_app(loop: LoopVersion) -> None:
    made = apprentice(walker(loop))
    rollout_pause(rollout=made, actor="ann", reason="the app has a fault")
    assert stands(made) == ("paused", False, False, "evaluating")
    rollout_resume(rollout=made, actor="ann", reason="mended")
    assert stands(made) == ("in_progress", True, True, "evaluating")
    incident = rollout_abort(rollout=made, actor="ann", reason="seen enough")
    assert stands(made) == ("aborted", False, False, "evaluating") and not incident.harmful
    with pytest.raises(Conflict, match="aborted"):
        rollout_resume(rollout=made, actor="ann", reason="again")
    assert vault_verify().broken == ""


def test_its_timeline_and_its_notices_say_who_did_what(loop: LoopVersion) -> None:
    made = apprentice(walker(loop))
    rollout_pause(rollout=made, actor="ann", reason="the app has a fault")
    rollout_resume(rollout=made, actor="bob", reason="mended")
    shadow_end(slot=slot(loop), finished=True, actor="rollout tick", reason="apprenticeship finished")
    acts = RolloutAct.objects.filter(deployment=made).order_by("pk").values_list("act", "actor", "reason")
    assert list(acts) == [("pause", "ann", "the app has a fault"), ("resume", "bob", "mended")]
    assert [entry.kind for entry in timeline_of(slot(loop)).entries] == ["end", "act", "act", "deployment"]
    kinds = Notice.objects.order_by("pk").values_list("kind", flat=True)
    began = Notice.objects.get(kind="rollout_started").facts
    assert (began["strategy"], began["share"]) == ("apprenticeship", "none")
    assert list(kinds) == ["rollout_started", "rollout_paused", "rollout_resumed", "rollout_ended"]


def test_a_stop_by_the_door_of_rollbacks_deploys_nothing_and_harmed_nobody(loop: LoopVersion) -> None:
    made = apprentice(walker(loop))
    with pytest.raises(InputError, match="harmed nobody"):
        version_rollback(version=made.version, actor="ann", reason="bad", harmful=True)
    with pytest.raises(InputError, match="stopping the apprenticeship needs a reason"):
        version_rollback(version=made.version, actor="ann", reason=" ", harmful=False)
    version_rollback(version=made.version, actor="ann", reason="no longer needed", harmful=False)
    assert stands(made) == ("aborted", False, False, "evaluating") and not slot(loop).stable.is_learned


def test_a_rollback_of_the_stable_version_ends_it(loop: LoopVersion) -> None:
    serving = judged(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    rollout_start(strategy="full_rollout", version=serving, actor="ann", reason="passed")
    made = apprentice(judged(learned(loop, "policy", ALWAYS_WALK, serving)))
    slot_rollback(slot=slot(loop), actor="health check", reason="harm", automatic=True, harmful=True)
    assert stands(made) == ("aborted", False, False, "evaluating") and vault_verify().broken == ""


def test_it_promotes_nobody_and_is_retried(loop: LoopVersion) -> None:
    made = apprentice(walker(loop))
    with pytest.raises(Conflict, match="proves no outcome"):
        rollout_promote(rollout=made, actor="ann", reason="it imitates well", override="now")
    rollout_abort(rollout=made, actor="ann", reason="a fault of the app")
    again = rollout_retry(rollout=made, actor="ann", reason="mended")
    assert again.pk != made.pk and stands(again) == ("in_progress", True, True, "evaluating")


def test_one_rollout_a_slot_and_none_of_what_failed_or_takes_a_share(loop: LoopVersion) -> None:
    with pytest.raises(Conflict, match="got the verdict"):
        apprentice(walker(loop, "fail"))
    with pytest.raises(InputError, match="an apprenticeship begins with no share of your choice"):
        apprentice(walker(loop), share=0.5)
    assert not slot(loop).app_chooses and not Deployment.objects.exists()
    made = apprentice(undecided(learned(loop, "policy", TALK_IN_A_GOOD_MOOD)))
    for strategy in ("canary", "full_rollout", "shadow_test", "ab_test", "apprentice"):
        with pytest.raises(Conflict, match="is in_progress; finish or abort it first"):
            rollout_start(strategy=strategy, version=walker(loop), actor="ann", reason="passed")
    assert stands(made)[0] == "in_progress"


def test_afterwards_any_other_strategy_may_roll_the_version_out(loop: LoopVersion) -> None:
    made = apprentice(walker(loop))
    shadow_end(slot=slot(loop), finished=True, actor="rollout tick", reason="apprenticeship finished")
    assert stands(made) == ("succeeded", False, False, "evaluating")
    options = rollout_options(proposal_of(made.version)).strategies
    assert {"full_rollout", "canary", "ab_test", "shadow_test", "apprentice"} <= set(options)
    rollout_start(strategy="canary", version=made.version, actor="ann", reason="it imitates well")
    assert slot(loop).candidate == made.version and not slot(loop).app_chooses


def test_a_loop_that_declares_it_has_it_once_and_for_its_weeks() -> None:
    loop = care_loop(rollout='[rollout]\nstrategy = "apprentice"\nweeks = 2\n')
    version = walker(loop)
    assert strategy_wanted(version) == "apprentice"
    assert apprentice(version).frozen_policy["weeks"] == 2
    shadow_end(slot=slot(loop), finished=True, actor="rollout tick", reason="apprenticeship finished")
    assert strategy_wanted(version) != "apprentice"


def test_a_stale_end_changes_nothing(loop: LoopVersion) -> None:
    made, seen = apprentice(walker(loop)), slot(loop)
    rollout_pause(rollout=made, actor="ann", reason="maintenance")
    with pytest.raises(Conflict, match="changed meanwhile"):
        shadow_end(slot=seen, finished=True, actor="rollout tick", reason="apprenticeship finished")
    assert stands(made) == ("paused", False, False, "evaluating")
