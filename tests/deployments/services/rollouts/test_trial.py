"""A trial: half of the people have an undecided version, until it is promoted or stopped; and both ends leave one history."""

from __future__ import annotations

import pytest
from django.utils import timezone

from core.errors import Conflict, InputError
from deployments.engine.arm_assignment import SlotArms, SlotFacts
from deployments.models import Deployment, Incident, ServingSlot
from deployments.selectors.slots import slot_for, trial_of
from deployments.services.rollouts.candidate_arm import candidate_promote, candidate_stop
from deployments.services.rollouts.full_rollout import full_rollout
from deployments.services.rollouts.rollback import slot_rollback
from deployments.services.rollouts.start import rollout_start
from deployments.services.rollouts.trial import trial_start
from deployments.services.serving.policy_cache import clear_policy_cache, served_loop
from loops.models import LoopVersion
from privacy.models import VaultEvent
from privacy.services.vault.commitments import text_digest
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, serve, undecided
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


@pytest.fixture
def version(loop: LoopVersion) -> ModelVersion:
    return undecided(learned(loop, "policy", ALWAYS_WALK))


def slot(loop: LoopVersion) -> ServingSlot:
    return slot_for(loop.loop, "policy")


def start(version: ModelVersion, override: str = "") -> Deployment:
    return trial_start(version=version, actor="turn 7", reason="undecided", override=override)


def stop(loop: LoopVersion, *, harmful: bool = False, automatic: bool = True) -> Incident:
    return candidate_stop(slot=slot(loop), actor="turn 8", reason="no better", automatic=automatic, harmful=harmful)


def state(version: ModelVersion) -> str:
    return ModelVersion.objects.get(pk=version.pk).state


class TestStart:
    def test_half_of_the_people_get_it(self, loop: LoopVersion, version: ModelVersion) -> None:
        before = slot(loop)
        made = start(version)
        now = slot(loop)
        assert (now.stable, now.candidate, now.weight_bp, now.holdback) == (before.stable, version, 5_000, None)
        assert now.generation == before.generation + 1 and now.salt != before.salt
        assert (made.strategy, made.state, made.previous, made.finished_at) == (
            "trial",
            "in_progress",
            before.stable,
            None,
        )
        assert state(version) == "evaluating" and trial_of(now) == made

    def test_both_arms_explore_the_loops_share(self, loop: LoopVersion, version: ModelVersion) -> None:
        assert slot(loop).exploration_bp == 10_000
        start(version)
        assert {s.exploration_bp for s in ServingSlot.objects.filter(loop=loop.loop)} == {2_000}

    def test_the_arms_are_drawn_by_person(self, loop: LoopVersion, version: ModelVersion) -> None:
        start(version)
        clear_policy_cache()
        arms: SlotArms = served_loop("care").arms[0]
        served = [arms.of(f"person {i}", timezone.now()).version for i in range(2_000)]
        assert 900 < served.count(version.pk) < 1_100
        assert served.count(slot(loop).stable_id) == 2_000 - served.count(version.pk)
        assert isinstance(arms.slot, SlotFacts) and arms.slot.generation == slot(loop).generation

    def test_it_is_in_the_vault(self, version: ModelVersion) -> None:
        made = start(version)
        body = VaultEvent.objects.get(kind="deployment").body
        assert (body["strategy"], body["version"], body["deployment"]) == ("trial", version.pk, made.pk)

    def test_it_is_started_by_its_name(self, version: ModelVersion) -> None:
        made = rollout_start(strategy="trial", version=version, actor="ann", reason="let us see")
        assert (made.strategy, made.actor) == ("trial", "ann")


class TestWhatMustHold:
    def refused(self, version: ModelVersion, why: str) -> None:
        with pytest.raises(Conflict, match=why):
            start(version)
        assert not Deployment.objects.exclude(version=version).filter(strategy="trial").exists()

    def test_what_failed_or_was_not_judged_is_not_tried(self, loop: LoopVersion) -> None:
        self.refused(judged(learned(loop, "policy", ALWAYS_WALK), "fail"), "is not to be tried")
        self.refused(learned(loop, "policy", ALWAYS_WALK), "is not to be tried")

    def test_a_first_policy_that_passed_is_tried_and_one_over_an_incumbent_is_not(self, loop: LoopVersion) -> None:
        first = judged(learned(loop, "policy", ALWAYS_WALK))
        self.refused(judged(learned(loop, "policy", ALWAYS_WALK, parent=first)), "is not to be tried")
        assert start(first).state == "in_progress"

    def test_a_hopeless_version_is_not_tried(self, loop: LoopVersion) -> None:
        self.refused(undecided(learned(loop, "policy", ALWAYS_WALK), z=0.05), "is not to be tried")

    def test_only_the_policy_head_is_tried(self, loop: LoopVersion) -> None:
        tone = [[0.0] * 4, [1.0, 0.0, 0.0, 0.0]]
        self.refused(undecided(learned(loop, "tone", tone)), "only versions of head policy")

    def test_one_at_a_time(self, loop: LoopVersion, version: ModelVersion) -> None:
        start(version)
        with pytest.raises(Conflict, match="is in_progress; finish or abort it first"):
            start(undecided(learned(loop, "policy", TALK_IN_A_GOOD_MOOD)))
        with pytest.raises(Conflict, match="is in_progress; finish or abort it first"):
            full_rollout(version=judged(learned(loop, "policy", TALK_IN_A_GOOD_MOOD)), actor="ann", reason="passed")

    def test_a_version_judged_against_another_policy_needs_an_override(
        self, loop: LoopVersion, version: ModelVersion
    ) -> None:
        serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
        self.refused(version, "was judged against the reference")
        made = start(version, override="we know")
        assert "we know" in made.reason and VaultEvent.objects.latest("pk").body["override"] == text_digest("we know")

    def test_an_override_of_nothing_is_refused(self, version: ModelVersion) -> None:
        with pytest.raises(InputError, match="nothing to override"):
            start(version, override="just in case")


class TestPass:
    def test_it_serves_and_a_reference_arm_stays(self, loop: LoopVersion, version: ModelVersion) -> None:
        reference = slot(loop).stable
        trial = start(version)
        made = candidate_promote(slot=slot(loop), actor="turn 8", reason="better")
        now = slot(loop)
        assert (now.stable, now.candidate, now.weight_bp, now.holdback, now.holdback_bp) == (
            version, None, 0, reference, 500,
        )  # fmt: skip
        assert (made.state, made.version, made.previous) == ("succeeded", version, reference)
        trial.refresh_from_db()
        assert trial.state == "succeeded" and trial.finished_at is not None and state(version) == "deployed"

    def test_the_incumbent_is_archived_and_can_be_gone_back_to(self, loop: LoopVersion) -> None:
        before = learned(loop, "policy", TALK_IN_A_GOOD_MOOD)
        serve(before)
        version = undecided(learned(loop, "policy", ALWAYS_WALK, before))
        start(version)
        candidate_promote(slot=slot(loop), actor="turn 8", reason="better")
        assert state(before) == "archived"
        slot_rollback(slot=slot(loop), actor="ann", reason="it harms", automatic=False, harmful=True)
        assert slot(loop).stable == before

    def test_without_a_trial_there_is_nothing_to_promote(self, loop: LoopVersion) -> None:
        with pytest.raises(Conflict, match="no rollout is in progress"):
            candidate_promote(slot=slot(loop), actor="turn 8", reason="better")


class TestStop:
    def test_everybody_has_the_reference_again(self, loop: LoopVersion, version: ModelVersion) -> None:
        reference = slot(loop).stable
        trial = start(version)
        incident = stop(loop)
        now = slot(loop)
        assert (now.stable, now.candidate, now.weight_bp) == (reference, None, 0)
        trial.refresh_from_db()
        assert (trial.state, trial.harmful, state(version)) == ("aborted", False, "archived")
        assert (incident.version, incident.deployment, incident.automatic) == (version, trial, True)
        assert VaultEvent.objects.get(kind="rollback").body["incident"] == incident.pk

    def test_harm_is_marked(self, loop: LoopVersion, version: ModelVersion) -> None:
        trial = start(version)
        assert stop(loop, harmful=True).harmful
        trial.refresh_from_db()
        assert (trial.state, trial.harmful) == ("rolled_back", True)

    def test_it_needs_a_reason_and_a_trial(self, loop: LoopVersion, version: ModelVersion) -> None:
        with pytest.raises(Conflict, match="no rollout is in progress"):
            stop(loop)
        start(version)
        with pytest.raises(InputError, match="needs a reason"):
            candidate_stop(slot=slot(loop), actor="ann", reason=" ", automatic=False, harmful=False)

    def test_the_holdback_of_before_comes_back(self, loop: LoopVersion) -> None:
        incumbent = judged(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
        full_rollout(version=incumbent, actor="ann", reason="passed")
        held = slot(loop)
        start(undecided(learned(loop, "policy", ALWAYS_WALK, incumbent)))
        assert slot(loop).holdback is None
        stop(loop)
        assert (slot(loop).holdback, slot(loop).holdback_bp) == (held.holdback, held.holdback_bp)

    def test_a_stopped_version_is_never_gone_back_to(self, loop: LoopVersion, version: ModelVersion) -> None:
        start(version)
        stop(loop)
        serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
        slot_rollback(slot=slot(loop), actor="ann", reason="it harms", automatic=False, harmful=True)
        assert not slot(loop).stable.is_learned

    def test_taking_the_reference_arm_back_aborts_the_trial(self, loop: LoopVersion) -> None:
        incumbent = learned(loop, "policy", TALK_IN_A_GOOD_MOOD)
        serve(incumbent)
        version = undecided(learned(loop, "policy", ALWAYS_WALK, incumbent))
        trial = start(version)
        slot_rollback(slot=slot(loop), actor="ann", reason="it harms", automatic=False, harmful=True)
        trial.refresh_from_db()
        assert (trial.state, slot(loop).candidate, state(version)) == ("aborted", None, "archived")
        assert trial_of(slot(loop)) is None


class TestAVersionThatWasReadTooEarly:
    def test_is_not_tried_again_after_its_trial_was_stopped(self, loop: LoopVersion, version: ModelVersion) -> None:
        early = ModelVersion.objects.select_related("loop_version__loop").get(pk=version.pk)
        start(version)
        stop(loop)
        with pytest.raises(Conflict, match="no longer in state evaluating"):
            start(early)
        assert slot(loop).candidate is None and state(version) == "archived"


class TestASlotThatWasReadTooEarly:
    def test_is_not_changed_by_a_pass_or_a_stop(self, loop: LoopVersion, version: ModelVersion) -> None:
        start(version)
        early = slot(loop)
        stop(loop)
        with pytest.raises(Conflict):
            candidate_promote(slot=early, actor="turn 8", reason="better")
        with pytest.raises(Conflict):
            candidate_stop(slot=early, actor="turn 8", reason="worse", automatic=True, harmful=False)
        assert not slot(loop).stable.is_learned and Incident.objects.count() == 1

    def test_another_trial_meanwhile_is_not_ended(self, loop: LoopVersion, version: ModelVersion) -> None:
        start(version)
        early = slot(loop)
        stop(loop)
        start(undecided(learned(loop, "policy", TALK_IN_A_GOOD_MOOD)))
        with pytest.raises(Conflict, match="changed meanwhile"):
            candidate_stop(slot=early, actor="turn 8", reason="worse", automatic=True, harmful=False)
        assert trial_of(slot(loop)) is not None
