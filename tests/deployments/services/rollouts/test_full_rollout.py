"""Deploying by an operator: what must hold, each with an error of its own, and nothing written when it does not."""

from __future__ import annotations

import pytest
from django.utils import timezone

from core.errors import Conflict, InputError, NotFound
from deployments.models import Deployment
from deployments.selectors.slots import incumbents_of, slot_for
from deployments.services.rollouts.exploration import exploration_settle
from deployments.services.rollouts.full_rollout import full_rollout, outdated, proposal_of
from deployments.services.rollouts.rollback import slot_rollback
from deployments.services.rollouts.slots import slots_seed
from loops.models import LoopVersion
from loops.services import loop_add
from privacy.models import VaultEvent
from privacy.services.vault.commitments import text_digest
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, serve
from training.models import ModelVersion

CALM = [[0.0] * 4, [1.0, 0.0, 0.0, 0.0]]

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> ModelVersion:
    return learned(care_loop(), "policy", ALWAYS_WALK)


def passed(loop: LoopVersion, head: str = "policy", parent: ModelVersion | None = None) -> ModelVersion:
    return judged(learned(loop, head, ALWAYS_WALK if head == "policy" else CALM, parent))


def changed(loop: LoopVersion, *changes: tuple[str, str]) -> LoopVersion:
    """A further version of the loop with some of its text changed."""
    text = loop.source.replace(f"version = {loop.version}", f"version = {loop.version + 1}")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    made, _ = loop_add(text=text, source="care.toml")
    slots_seed(loop_version=made)
    return made


def deploy(version: ModelVersion, override: str = "") -> Deployment:
    return full_rollout(version=version, actor="ann", reason="passed", override=override)


def refused(version: ModelVersion, why: str) -> None:
    before, deployments = slot_for(version.loop_version.loop, version.head), Deployment.objects.count()
    with pytest.raises(Conflict, match=why):
        deploy(version)
    after = slot_for(version.loop_version.loop, version.head)
    assert (after.stable_id, after.generation) == (before.stable_id, before.generation)
    assert Deployment.objects.count() == deployments


def test_what_passed_is_deployed(version: ModelVersion) -> None:
    judged(version, "pass")
    made = deploy(version)
    assert made.previous is not None and made.previous.kind == "reference"
    assert (made.state, made.actor) == ("succeeded", "ann")
    assert slot_for(version.loop_version.loop, "policy").stable == version


def test_what_was_not_evaluated_is_not(version: ModelVersion) -> None:
    refused(version, "was not evaluated")


@pytest.mark.parametrize(("verdict", "words"), [("fail", "fail"), ("insufficient", "insufficient evidence")])
def test_what_did_not_pass_is_not(version: ModelVersion, verdict: str, words: str) -> None:
    judged(version, "pass")
    judged(version, verdict, attempt=2)
    refused(version, f"got the verdict '{words}': people said so")


@pytest.mark.parametrize("state", ["training", "deployed", "archived", "failed"])
def test_what_is_in_another_state_is_not(version: ModelVersion, state: str) -> None:
    judged(version, "pass")
    ModelVersion.objects.filter(pk=version.pk).update(state=state)
    version.refresh_from_db()
    refused(version, f"is in state {state}; only a version in state evaluating")


@pytest.mark.parametrize("state", ["pending", "in_progress", "paused"])
def test_one_deployment_at_a_time(version: ModelVersion, state: str) -> None:
    judged(version, "pass")
    slot = slot_for(version.loop_version.loop, "policy")
    active = Deployment.objects.create(slot=slot, version=slot.stable, strategy="canary", state=state)
    refused(version, f"deployment {active.pk} .* finish or abort it first")
    Deployment.objects.filter(pk=active.pk).update(state="aborted", finished_at=timezone.now())
    assert deploy(version).state == "succeeded"


def test_a_head_without_a_slot_is_said_to(version: ModelVersion) -> None:
    judged(version, "pass")
    slot_for(version.loop_version.loop, "policy").delete()
    with pytest.raises(NotFound, match="add the loop"):
        deploy(version)


class TestWhatItWasJudgedAgainst:
    def test_an_old_version_does_not_replace_a_newer_one(self, version: ModelVersion) -> None:
        loop = version.loop_version
        judged(version, "pass")
        newer = passed(loop)
        deploy(newer)
        refused(version, f"{version} was judged against the reference, but {newer} is deployed now; start another turn")

    def test_what_was_judged_against_what_serves_does(self, version: ModelVersion) -> None:
        judged(version, "pass")
        deploy(version)
        assert deploy(passed(version.loop_version, parent=version)).previous == version

    def test_nor_does_one_that_only_kept_up_with_what_was_taken_back(self, version: ModelVersion) -> None:
        loop = version.loop_version
        judged(version, "pass")
        deploy(version)
        after = passed(loop, parent=version)
        slot = slot_for(loop.loop, "policy")
        slot_rollback(slot=slot, actor="ann", reason="it harms", automatic=False, harmful=True)
        refused(after, f"was judged against {version}, but the reference is deployed now")
        assert deploy(judged(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))).state == "succeeded"

    def test_an_override_is_kept_in_history_and_its_digest_in_the_vault(self, version: ModelVersion) -> None:
        loop = version.loop_version
        judged(version, "pass")
        deploy(passed(loop))
        made = deploy(version, override="the newer one is slow")
        assert made.reason.startswith(f"passed; overridden, because the newer one is slow ({version} was judged")
        told = VaultEvent.objects.filter(kind="deployment", body__version=version.pk).get().body
        assert told["override"] == text_digest("the newer one is slow") and told["actor"] == "ann"
        assert slot_for(loop.loop, "policy").stable == version and not outdated(proposal_of(version))

    def test_an_override_of_nothing_is_refused(self, version: ModelVersion) -> None:
        judged(version, "pass")
        with pytest.raises(InputError, match="nothing to override"):
            deploy(version, override="just in case")
        assert not Deployment.objects.exists()

    def test_an_override_is_for_the_comparison_alone(self, version: ModelVersion) -> None:
        deploy(passed(version.loop_version))
        judged(version, "fail")
        with pytest.raises(Conflict, match="got the verdict 'fail'"):
            deploy(version, override="I like it")


class TestWhetherItCanServe:
    def test_what_was_made_for_other_features_is_not_deployed(self, version: ModelVersion) -> None:
        judged(version, "pass")
        changed(version.loop_version, ("step = 0.25", "step = 0.5"))
        refused(version, f"{version.name} cannot serve care v2: {version} was trained for other features or actions")

    def test_what_was_made_for_other_actions_is_not_deployed(self, version: ModelVersion) -> None:
        judged(version, "pass")
        changed(version.loop_version, ('"walk"]', '"run"]'))
        refused(version, "trained for other features or actions")

    def test_nor_what_was_changed_outside_the_program(self, version: ModelVersion) -> None:
        judged(version, "pass")
        ModelVersion.objects.filter(pk=version.pk).update(weights=b"others")
        version.refresh_from_db()
        refused(version, "do not match their SHA-256")

    def test_what_the_new_loop_version_does_not_touch_is(self, version: ModelVersion) -> None:
        judged(version, "pass")
        now = changed(version.loop_version, ("logging = [0.5, 0.25, 0.25]", "logging = [0.6, 0.2, 0.2]"))
        assert deploy(version).state == "succeeded"
        assert incumbents_of(now) == {"policy": version}, "it serves, so it is what a candidate must beat"

    def test_over_one_that_cannot_serve_any_more_the_reference_is_what_was_to_be_beaten(
        self, version: ModelVersion
    ) -> None:
        serve(version)
        now = changed(version.loop_version, ("step = 0.25", "step = 0.5"))
        assert incumbents_of(now) == {}
        assert deploy(passed(now)).previous == version


class TestAHeadThatSpeaksOnlyWhenPolicyIntervenes:
    def test_it_is_not_deployed_where_policy_serves_its_reference(self, version: ModelVersion) -> None:
        refused(
            passed(version.loop_version, "tone"),
            "acts only when head policy intervenes, and policy serves its reference",
        )

    def test_it_is_with_a_policy_that_learned_to(self, version: ModelVersion) -> None:
        serve(version)
        assert deploy(passed(version.loop_version, "tone")).state == "succeeded"

    def test_one_that_always_speaks_needs_no_policy(self, version: ModelVersion) -> None:
        now = changed(version.loop_version, ('when = "intervening"', 'when = "always"'))
        assert deploy(passed(now, "tone")).state == "succeeded"


class TestExploration:
    """Everything is explored before the first deployment, then what the loop declares (.2), somebody lowered or a turn asked."""

    def share(self, loop: LoopVersion) -> float:
        return slot_for(loop.loop, "policy").exploration_bp / 10_000

    def lower(self, loop: LoopVersion, share: float) -> None:
        type(slot_for(loop.loop, "policy")).objects.update(exploration_bp=round(share * 10_000))

    def test_the_loops_share_holds_once_something_serves(self, version: ModelVersion) -> None:
        assert self.share(version.loop_version) == 1.0
        serve(version)
        assert self.share(version.loop_version) == 0.2

    @pytest.mark.parametrize("deployed_before", [False, True])
    def test_what_an_operator_lowered_stays_lowered(self, version: ModelVersion, deployed_before: bool) -> None:
        loop = version.loop_version
        if deployed_before:
            serve(version)
        self.lower(loop, 0.05)
        serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
        assert self.share(loop) == 0.05

    def test_a_loop_that_declares_more_explores_more_with_its_next_version(self, version: ModelVersion) -> None:
        serve(version)
        now = changed(version.loop_version, ("exploration = 0.2", "exploration = 0.3"))
        serve(learned(now, "policy", TALK_IN_A_GOOD_MOOD))
        assert self.share(now) == 0.3

    @pytest.mark.parametrize("asked", [0.0, 0.05, 0.5])
    def test_what_a_turn_asked_holds_while_its_version_serves(self, version: ModelVersion, asked: float) -> None:
        loop = version.loop_version
        serve(learned(loop, "policy", ALWAYS_WALK, exploration=asked))
        assert exploration_settle(loop_version=loop, undecided=9).share == self.share(loop) == asked
        serve(learned(loop, "policy", ALWAYS_WALK))
        assert exploration_settle(loop_version=loop, undecided=9).share == self.share(loop) == 0.2

    def test_with_another_head_it_holds_for_all(self, version: ModelVersion) -> None:
        loop = version.loop_version
        serve(version)
        serve(learned(loop, "tone", CALM, exploration=0.4))
        assert exploration_settle(loop_version=loop, undecided=9).share == self.share(loop) == 0.4
        assert {s.exploration_bp for s in loop.loop.slots.all()} == {4_000}

    def test_another_head_that_asks_for_nothing_changes_nothing(self, version: ModelVersion) -> None:
        loop = version.loop_version
        serve(version)
        self.lower(loop, 0.05)
        serve(learned(loop, "tone", CALM))
        assert self.share(loop) == 0.05
