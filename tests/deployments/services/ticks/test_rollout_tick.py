"""Ticks of rollouts: a good canary goes on to everybody, a harmful one goes back, and what is not known is not taken for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.errors import Conflict
from deployments.engine.rollouts.lived_conditions import lived_json
from deployments.engine.rollouts.staged import CanaryTerms, StageFacts, canary_verdict
from deployments.models import Deployment, Incident, RolloutCheck, ServingSlot
from deployments.selectors.health import evidence_of
from deployments.selectors.rollouts import progress_of
from deployments.selectors.slots import slot_for
from deployments.services.health.check import health_tick
from deployments.services.rollouts.operate import rollout_abort, rollout_approve, rollout_pause, rollout_resume
from deployments.services.rollouts.start import rollout_start, strategy_wanted
from deployments.services.ticks.lived_facts import lived_facts
from deployments.services.ticks.rollout_tick import canary_terms, rollout_step, rollout_tick
from deployments.services.ticks.stage_facts import stage_facts
from loops.models import LoopVersion
from privacy.models import VaultEvent
from tests.factories.care import care_loop
from tests.factories.lived_weeks import begun_before, live_decisions, live_weeks, people_with_keys, week_now
from tests.factories.versions import ALWAYS_WALK, judged, learned, undecided
from training.models import ModelVersion

pytestmark = pytest.mark.django_db

DECLARED = """[rollout]
strategy = "canary"
stages = [0.2, 0.5]
dwell_weeks = 2
extensions = 1
"""


def loop_with(declared: str = DECLARED) -> LoopVersion:
    return care_loop(rollout=declared)


@pytest.fixture
def loop() -> LoopVersion:
    return loop_with()


def canary(loop: LoopVersion, *, proven: bool = True) -> Deployment:
    version = learned(loop, "policy", ALWAYS_WALK)
    ready = judged(version) if proven else undecided(version)
    return rollout_start(strategy="canary", version=ready, actor="ann", reason="it passed")


def slot(loop: LoopVersion) -> ServingSlot:
    return slot_for(loop.loop, "policy")


def stage_lived(rollout: Deployment, people: Sequence[int], weeks: int = 2, **lived: Any) -> None:
    """The stage's next whole weeks pass, and the last outcomes of them close."""
    rollout.refresh_from_db()
    last = week_now(rollout) + weeks if rollout.stage else weeks
    begun_before(rollout, weeks + (2 if rollout.stage else 0.2))
    first = max(rollout.stage_starts[-1], 1)
    live_weeks(rollout, people, range(first, first + weeks), **lived)
    assert week_now(rollout) > last or rollout.stage


def test_a_good_canary_goes_stage_by_stage_to_everybody(loop: LoopVersion) -> None:
    made = canary(loop)
    people = people_with_keys(made, 200)
    assert slot(loop).weight_bp == 2_000
    assert rollout_tick() == 0, "nothing is closed yet"
    stage_lived(made, people)
    assert rollout_tick() == 1
    made.refresh_from_db()
    assert (made.stage, slot(loop).weight_bp, made.state) == (1, 5_000, "in_progress")
    stage_lived(made, people)
    live_decisions(made, people)
    assert rollout_tick() == 1
    made.refresh_from_db()
    now = slot(loop)
    assert (made.state, now.stable, now.candidate, now.weight_bp) == ("succeeded", made.version, None, 0)
    assert now.holdback == made.previous and ModelVersion.objects.get(pk=made.version_id).state == "deployed"
    assert Deployment.objects.get(strategy="full_rollout").version == made.version
    assert rollout_tick() == 0


@pytest.mark.parametrize(
    ("lived", "missing"),
    [
        ({"comes": (0.4, 1.0)}, "lived_retention"),
        ({"reports": (0.3, 1.0)}, "lived_improvement"),
        ({"reward": (0.05, 0.3)}, "lived_improvement"),
    ],
)
def test_a_first_canary_is_not_promoted_where_decisions_with_rewards_look_good_alone(
    loop: LoopVersion, lived: dict[str, Any], missing: str
) -> None:
    """People who stop coming, and rewards that are missing, show in no mean of the rewards that there are."""
    made = canary(loop)
    people = people_with_keys(made, 200)
    stage_lived(made, people)
    rollout_tick()
    stage_lived(made, people, reward=(0.5, 0.1))
    live_decisions(made, people, **lived)
    assert rollout_tick() == 1
    made.refresh_from_db()
    check = RolloutCheck.objects.latest("pk")
    assert (check.step, made.state) == ("extend", "in_progress")
    assert check.figures["conditions"][missing]["state"] != "holds"


@pytest.mark.parametrize(("declared", "last"), [("", 4), ("dwell_weeks = 1\n", 0)])
def test_the_last_stage_of_a_first_policy_lasts_four_weeks_unless_the_loop_says_otherwise(
    declared: str, last: int
) -> None:
    """Two weeks do not show people who stay away and come back."""
    made = canary(loop_with(f'[rollout]\nstrategy = "canary"\n{declared}'))
    terms = canary_terms(dict(made.frozen_policy))
    assert (terms.judges_lived, terms.last_weeks, progress_of(made).due) == (True, last, terms.dwell_weeks)
    made.stage = 1
    assert progress_of(made).due == (last or terms.dwell_weeks)


def test_what_a_stage_lived_is_read_once_a_closed_week(loop: LoopVersion) -> None:
    made = canary(loop)
    people = people_with_keys(made, 60)
    stage_lived(made, people)
    rollout_tick()
    stage_lived(made, people)
    made.refresh_from_db()
    now = slot(loop)
    first = lived_facts(made, now, 2, None)
    facts = {"extended": 0, **lived_json(first)}
    last = RolloutCheck(generation=now.generation, stage=1, closed_weeks=2, facts=facts)
    live_decisions(made, people)
    assert lived_facts(made, now, 2, last) == first, "and not read again"
    assert lived_facts(made, now, 3, last) != first


def test_a_harmful_canary_goes_back_and_is_remembered(loop: LoopVersion) -> None:
    made = canary(loop)
    stage_lived(made, people_with_keys(made, 400), empathy=(0.5, 0.8), harm=(0.3, 0.05))
    assert rollout_tick() == 1
    made.refresh_from_db()
    incident = Incident.objects.get()
    assert (made.state, made.harmful, slot(loop).candidate) == ("rolled_back", True, None)
    assert incident.automatic and incident.harmful and "mpathy" in incident.reason
    assert VaultEvent.objects.filter(kind="rollback", body__version=made.version_id).exists()


def test_the_health_check_takes_a_harmful_canary_back_as_well(loop: LoopVersion) -> None:
    made = canary(loop)
    stage_lived(made, people_with_keys(made, 400), empathy=(0.5, 0.8), harm=(0.3, 0.05))
    assert health_tick() == 1 and rollout_tick() == 0
    made.refresh_from_db()
    assert (made.state, Incident.objects.get().automatic) == ("rolled_back", True)


def test_a_stage_that_proves_too_little_is_extended_and_then_ends(loop: LoopVersion) -> None:
    made = canary(loop)
    people = people_with_keys(made, 12)
    stage_lived(made, people)
    assert rollout_tick() == 1
    made.refresh_from_db()
    assert (made.stage, made.extended, made.state) == (0, 1, "in_progress")
    begun_before(made, 2)
    live_weeks(made, people, (3, 4))
    assert rollout_tick() == 1
    made.refresh_from_db()
    assert (made.state, made.harmful, slot(loop).candidate) == ("aborted", False, None)
    assert "without proof" in Incident.objects.get().reason


def test_without_anybody_nothing_is_promoted(loop: LoopVersion) -> None:
    made = canary(loop)
    for _ in range(12):
        begun_before(made, 2)
        rollout_tick()
    made.refresh_from_db()
    assert made.state == "aborted" and slot(loop).stable == made.previous


def test_a_verdict_can_be_computed_again_from_what_is_stored(loop: LoopVersion) -> None:
    made = canary(loop)
    stage_lived(made, people_with_keys(made, 200))
    rollout_tick()
    check = RolloutCheck.objects.get()
    again = canary_verdict(canary_terms(check.terms), StageFacts.from_json(check.facts))
    assert (again.step, list(again.reasons), again.figures) == (check.step, check.reasons, check.figures)
    assert check.step == "advance" and check.acted and (check.stage, check.closed_weeks) == (0, 2)


def test_a_verdict_is_stored_once_for_each_week_and_step(loop: LoopVersion) -> None:
    canary(loop)
    for _ in range(3):
        rollout_tick()
    assert [check.step for check in RolloutCheck.objects.all()] == ["wait"]


def test_by_hand_a_stage_waits_for_an_operator() -> None:
    loop = loop_with(DECLARED + "by_hand = true\n")
    made = canary(loop)
    people = people_with_keys(made, 200)
    with pytest.raises(Conflict, match="waits for no approval"):
        rollout_approve(rollout=made, actor="ann", reason="looks good")
    stage_lived(made, people)
    rollout_tick()
    made.refresh_from_db()
    assert (made.stage, made.waits_for, slot(loop).weight_bp) == (0, "advance", 2_000)
    assert rollout_tick() == 0, "it asks once"
    rollout_approve(rollout=made, actor="ann", reason="looks good")
    made.refresh_from_db()
    assert (made.stage, made.waits_for, slot(loop).weight_bp) == (1, "", 5_000)


def test_harm_while_an_operator_is_asked_takes_it_back() -> None:
    loop = loop_with(DECLARED + "by_hand = true\n")
    made = canary(loop)
    people = people_with_keys(made, 400)
    stage_lived(made, people)
    rollout_tick()
    begun_before(made, 2)
    live_weeks(made, people, (3, 4), empathy=(0.4, 0.8), harm=(0.4, 0.05))
    assert health_tick() == 1
    made.refresh_from_db()
    assert (made.state, made.waits_for) == ("rolled_back", "")


def test_a_paused_rollout_serves_nobody_and_is_not_stepped(loop: LoopVersion) -> None:
    made = canary(loop)
    people = people_with_keys(made, 200)
    rollout_pause(rollout=made, actor="ann", reason="holidays")
    assert slot(loop).weight_bp == 0 and slot(loop).candidate == made.version
    stage_lived(made, people)
    assert rollout_tick() == 0 and not RolloutCheck.objects.exists()
    rollout_resume(rollout=made, actor="ann", reason="back")
    made.refresh_from_db()
    assert slot(loop).weight_bp == 2_000 and made.stage_starts == [1, 4]


def test_a_tick_that_saw_an_older_state_changes_nothing(loop: LoopVersion) -> None:
    made = canary(loop)
    stage_lived(made, people_with_keys(made, 200))
    seen = Deployment.objects.select_related("slot__loop").get(pk=made.pk)
    rollout_pause(rollout=made, actor="ann", reason="holidays")
    with pytest.raises(Conflict, match="while the rollout was judged"):
        rollout_step(rollout=seen)
    assert slot(loop).weight_bp == 0 and not RolloutCheck.objects.exists()


def test_an_undecided_candidate_needs_reward_and_false_interventions_too(loop: LoopVersion) -> None:
    made = canary(loop, proven=False)
    people = people_with_keys(made, 300)
    stage_lived(made, people)
    assert rollout_tick() == 1
    stage_lived(made, people, reward=(0.0, 0.1))
    rollout_tick()
    made.refresh_from_db()
    check = RolloutCheck.objects.latest("pk")
    assert check.step != "promote" and made.state != "succeeded"
    assert slot(loop).stable == made.previous


AB = """[rollout]
strategy = "ab_test"
split = 0.5
weeks = 2
extensions = 0
"""


def ab_test(loop: LoopVersion) -> Deployment:
    version = judged(learned(loop, "policy", ALWAYS_WALK))
    return rollout_start(strategy="ab_test", version=version, actor="ann", reason="it passed")


def test_the_winner_of_an_ab_test_is_promoted_when_its_time_is_over() -> None:
    loop = loop_with(AB)
    made = ab_test(loop)
    people = people_with_keys(made, 400)
    begun_before(made, 1.2)
    live_weeks(made, people, (1,), reward=(0.6, 0.1))
    assert rollout_tick() == 0, "one of two weeks is closed"
    begun_before(made, 1)
    live_weeks(made, people, (2,), reward=(0.6, 0.1))
    live_decisions(made, people)
    assert rollout_tick() == 1
    made.refresh_from_db()
    assert (made.state, slot(loop).stable, made.experiment.state) == ("succeeded", made.version, "promoted")
    assert RolloutCheck.objects.latest("pk").label == "proven better"
    found = made.experiment.result
    assert found["winner"] == 1 and 0 < found["low"] < found["estimate"] < found["high"]


def test_without_a_winner_the_control_is_kept() -> None:
    loop = loop_with(AB)
    made = ab_test(loop)
    begun_before(made, 2.2)
    live_weeks(made, people_with_keys(made, 400), (1, 2))
    assert rollout_tick() == 1
    made.refresh_from_db()
    assert (made.state, slot(loop).stable, made.experiment.state) == ("aborted", made.previous, "kept")
    found = made.experiment.result
    assert found["winner"] == 0 and found["low"] < 0 < found["high"] and min(found["people"]) >= 100


def test_a_verdict_about_an_earlier_stage_acts_on_no_later_one(loop: LoopVersion) -> None:
    made = canary(loop)
    stage_lived(made, people_with_keys(made, 200))
    seen = Deployment.objects.select_related("slot__loop", "version__loop_version__loop").get(pk=made.pk)
    assert rollout_tick() == 1 and slot(loop).weight_bp == 5_000
    with pytest.raises(Conflict, match="while the rollout was judged"):
        rollout_step(rollout=seen)
    assert slot(loop).weight_bp == 5_000


def test_a_stage_that_begins_late_gets_its_weeks(loop: LoopVersion) -> None:
    made = canary(loop)
    people = people_with_keys(made, 200)
    begun_before(made, 30)
    live_weeks(made, people, range(25, 31))
    rollout_pause(rollout=made, actor="ann", reason="holidays")
    rollout_resume(rollout=made, actor="ann", reason="back")
    made.refresh_from_db()
    assert made.deadline_at is not None and made.deadline_at > timezone.now() + timedelta(weeks=2)


def test_a_rollout_that_stays_paused_ends_with_its_time(loop: LoopVersion) -> None:
    made = canary(loop)
    rollout_pause(rollout=made, actor="ann", reason="holidays")
    assert rollout_tick() == 0 and slot(loop).candidate == made.version
    begun_before(made, 60)
    rollout_tick()
    made.refresh_from_db()
    assert (made.state, slot(loop).candidate) == ("aborted", None) and "still paused" in Incident.objects.get().reason


def test_an_incident_that_hits_both_arms_alike_takes_no_candidate_back(loop: LoopVersion) -> None:
    made = canary(loop)
    stage_lived(made, people_with_keys(made, 400), empathy=(0.3, 0.3), harm=(0.5, 0.5), reward=(-0.5, -0.5))
    assert health_tick() == 0
    made.refresh_from_db()
    assert made.state == "in_progress" and not Incident.objects.exists()


def test_what_silence_means_is_frozen_with_the_terms(loop: LoopVersion) -> None:
    made = canary(loop)
    assert made.frozen_policy["silence"] == loop.spec.reward.silence
    harmful = replace(loop.spec, reward=replace(loop.spec.reward, silence="harmful"))
    stage_lived(made, people_with_keys(made, 60))
    facts = [stage_facts(made, slot(loop), spec, CanaryTerms()).as_json() for spec in (loop.spec, harmful)]
    assert facts[0] == facts[1]
    assert evidence_of(slot(loop), harmful).silence == loop.spec.reward.silence, "health reads the same"
    rollout_abort(rollout=made, actor="ann", reason="enough")
    assert evidence_of(slot(loop), harmful).silence == "harmful", "no terms are in force any more"


@pytest.mark.parametrize("strategy", ["canary", "ab_test"])
def test_terms_come_from_the_present_loop_file_and_not_from_that_of_the_version(strategy: str) -> None:
    """An operator who corrects what silence means is heard by versions that were trained before."""
    trained = judged(learned(care_loop(silence="harmless"), "policy", ALWAYS_WALK))
    corrected = care_loop(version=2, rollout='[rollout]\nstrategy = "ab_test"\n')
    assert strategy_wanted(trained) == "ab_test"
    made = rollout_start(strategy=strategy, version=trained, actor="ann", reason="it passed")
    assert made.frozen_policy["silence"] == corrected.spec.reward.silence == "unknown"
    assert evidence_of(slot(corrected), corrected.spec).silence == "unknown"


def test_one_persons_value_is_in_no_stored_check(loop: LoopVersion) -> None:
    made = canary(loop)
    stage_lived(made, people_with_keys(made, 8))
    rollout_tick()
    facts = RolloutCheck.objects.get().facts
    assert facts["candidate"]["empathy"][0] == facts["candidate"]["people"] == 0 and facts["assigned"] == [0, 0]
