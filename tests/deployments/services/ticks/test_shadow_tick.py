"""Ticks of shadow tests: they run their time, end early when the candidate fails, and say what they saw and could not see."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from deployments.engine.rollouts.shadow import (
    NOT_DEPLOYABLE,
    NOTHING_SEEN,
    SEES_NO_OUTCOMES,
    SHADOW_FINISHED,
    ShadowFacts,
    ShadowTerms,
    shadow_verdict,
)
from deployments.models import Deployment, Incident, RolloutCheck, ServingSlot, ShadowMinute
from deployments.selectors.shadow import shadow_counts
from deployments.selectors.slots import slot_for
from deployments.services.health.check import health_tick
from deployments.services.rollouts.operate import rollout_pause, rollout_resume
from deployments.services.rollouts.start import rollout_start
from deployments.services.serving.policy_cache import clear_policy_cache
from deployments.services.ticks.rollout_tick import rollout_tick
from deployments.services.ticks.shadow_facts import shadow_value
from loops.models import LoopVersion
from privacy.models import Choice, Purpose, ServedDecision
from privacy.services.people.consent import consent_withdraw
from privacy.services.people.erasure import person_erase
from privacy.services.records.close_outcomes import outcomes_close
from tests.factories.care import care_loop, person
from tests.factories.lived_weeks import begun_before
from tests.factories.shadows import WorkedByHand, worked_by_hand
from tests.factories.users import service_token
from tests.factories.versions import ALWAYS_WALK, judged, learned
from tests.r3al_project.api.api_calls import ask, post
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> WorkedByHand:
    return worked_by_hand(monkeypatch)


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


@pytest.fixture
def test(loop: LoopVersion) -> Deployment:
    return rollout_start(
        strategy="shadow_test", version=judged(learned(loop, "policy", ALWAYS_WALK)), actor="ann", reason="look first"
    )


def seen(test: Deployment, **counts: int) -> None:
    """What web processes wrote about the shadow in the last minute but one."""
    minute = (timezone.now() - timedelta(minutes=1)).replace(second=0, microsecond=0)
    ShadowMinute.objects.create(version=test.version, minute=max(minute, test.created_at.replace(second=0)), **counts)


def days_pass(test: Deployment, days: float) -> None:
    begun_before(test, days / 7)


def last(test: Deployment) -> RolloutCheck:
    test.refresh_from_db()
    return test.checks.latest("pk")


def slot(test: Deployment) -> ServingSlot:
    return slot_for(test.slot.loop, "policy")


def test_it_waits_finishes_and_leaves_the_version_to_other_strategies(test: Deployment) -> None:
    assert rollout_tick() == 0 and last(test).step == "wait"
    days_pass(test, 7.1)
    seen(test, scored=500, compared=500, agreed=400, intervened=200, stable_intervened=100, total_us=10_000)
    assert rollout_tick() == 1
    check = last(test)
    assert (check.step, check.label, check.acted) == ("end", SHADOW_FINISHED, True)
    assert check.reasons[-1] == SEES_NO_OUTCOMES and check.figures["agreement"] == 0.8
    assert (test.state, slot(test).shadow) == ("succeeded", None)
    assert ModelVersion.objects.get(pk=test.version_id).state == "evaluating" and not Incident.objects.exists()
    assert rollout_tick() == 0


def test_failures_end_it_at_once(test: Deployment) -> None:
    seen(test, scored=200, errors=20)
    assert rollout_tick() == 1
    assert last(test).label == NOT_DEPLOYABLE
    assert (test.state, slot(test).shadow, ModelVersion.objects.get(pk=test.version_id).state) == (
        "aborted", None, "evaluating",
    )  # fmt: skip


def test_slowness_ends_it_at_once(test: Deployment) -> None:
    seen(test, scored=200, late=20)
    assert rollout_tick() == 1 and last(test).label == NOT_DEPLOYABLE and test.state == "aborted"


def test_without_traffic_it_is_extended_and_then_ends_as_nothing(test: Deployment) -> None:
    days_pass(test, 7.1)
    assert rollout_tick() == 1 and last(test).step == "extend"
    assert (test.extended, test.state) == (1, "in_progress")
    assert rollout_tick() == 0, "it has as much time again"
    days_pass(test, 7)
    assert rollout_tick() == 1
    assert last(test).label == NOTHING_SEEN and test.state == "aborted" and slot(test).shadow is None


def test_a_verdict_is_stored_once_a_day_and_computed_again(test: Deployment) -> None:
    for day in range(3):
        rollout_tick()
        assert rollout_tick() == 0 and test.checks.count() == day + 1
        days_pass(test, 1)
    for check in test.checks.all():
        again = shadow_verdict(ShadowTerms.from_json(check.terms), ShadowFacts.from_json(check.facts))
        assert (again.step, list(again.reasons), again.figures) == (check.step, check.reasons, check.figures)


def test_a_paused_one_is_not_stepped_and_begins_anew(test: Deployment) -> None:
    seen(test, scored=500)
    days_pass(test, 7.1)
    rollout_pause(rollout=test, actor="ann", reason="maintenance")
    assert rollout_tick() == 0
    rollout_resume(rollout=test, actor="ann", reason="back")
    ShadowMinute.objects.update(minute=timezone.now() - timedelta(days=1))
    assert rollout_tick() == 0 and last(test).facts["days"] == 0
    assert shadow_counts(test).scored == 0, "what was seen before belongs to no test"


def test_figures_are_deleted_after_their_retention(test: Deployment) -> None:
    seen(test, scored=5)
    ShadowMinute.objects.update(minute=timezone.now() - timedelta(days=5_000))
    health_tick()
    assert not ShadowMinute.objects.exists()


def people_live(count: int, each: int = 12, *, first: int = 0) -> str:
    """Everybody's actions are drawn, and a walk is what pleases them. All outcomes close."""
    ServingSlot.objects.update(exploration_bp=10_000)
    clear_policy_cache()
    token = service_token()
    for i in range(first, first + count):
        person(f"p{i}", consents=(Purpose.PERSONALIZATION,))
        for n in range(each):
            told = ask(token, f"r{i}-{n}", userId=f"p{i}").told
            felt = 0.8 if told["actions"]["policy"]["action"] == "walk" else 0.0
            said = {"rewardId": "w", "userId": f"p{i}", "components": {"sentiment": felt}}
            post(f"/api/v1/optima/decisions/{told['decisionId']}/rewards", token, said)
    ServedDecision.objects.update(closes_at=timezone.now())
    outcomes_close()
    return token


def test_drawn_decisions_say_what_the_candidate_would_have_earned(test: Deployment) -> None:
    people_live(20, each=10)
    value = shadow_value(test, slot(test))
    drawn = Choice.objects.filter(head="policy", explored=True)
    assert value.people == 20 and value.unknown == "" and drawn.count() == 200
    assert value.gain is not None and value.gain_low is not None and value.gain > 0 and value.value is not None
    assert value.value > 0 and value.effective is not None and value.effective >= 10
    rollout_tick()
    assert last(test).facts["value"] == value.as_json()


def test_decisions_from_before_the_test_and_those_not_drawn_say_nothing(loop: LoopVersion) -> None:
    people_live(12, each=6)
    test = rollout_start(
        strategy="shadow_test", version=judged(learned(loop, "policy", ALWAYS_WALK)), actor="ann", reason="look"
    )
    assert shadow_value(test, slot(test)).people == 0
    begun_before(test, 1)
    assert shadow_value(test, slot(test)).people == 12
    Choice.objects.update(explored=False)
    assert shadow_value(test, slot(test)).people == 0


def test_fewer_than_ten_people_are_not_known_and_somebody_erased_is_nobody(test: Deployment) -> None:
    people_live(10, each=6)
    assert shadow_value(test, slot(test)).people == 10
    pk = ServedDecision.objects.latest("pk").person_id
    consent_withdraw(person_ids=[pk], purposes=list(Purpose), source="app")
    person_erase(person_id=pk, source="test")
    value = shadow_value(test, slot(test))
    assert value.people == 9 and value.value is None and "fewer than 10 people" in value.unknown
