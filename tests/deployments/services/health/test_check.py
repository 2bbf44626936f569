"""Health on the real tables: a planted harmful version goes back by itself, a good one stays, nothing is counted twice."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from core.arrays import Floats
from core.errors import Conflict, InputError
from deployments.engine.health.evidence import LivedWeeks
from deployments.models import Deployment, EvidenceUnit, EvidenceWeek, HealthCheck, Incident, LatencyMinute, ServingSlot
from deployments.selectors.health import EPOCHS, FIRST_DAYS, epoch_number, evidence_of
from deployments.selectors.slots import slot_for
from deployments.services.health.check import health_check, health_tick
from deployments.services.health.evidence import evidence_fold
from deployments.services.rollouts.rollback import slot_rollback
from deployments.services.rollouts.slots import slot_swap, slots_seed
from deployments.services.serving.policy_cache import clear_policy_cache
from loops.engine.reward import COMPONENTS
from loops.models import Loop, LoopVersion
from privacy.engine.sealing import about_outcome
from privacy.models import Choice, Decision, Purpose, RewardSignal, ServedDecision, VaultEvent
from privacy.services.people.data_keys import ciphers
from privacy.services.records.close_outcomes import outcomes_close
from tests.factories.care import care_loop, people_named, person
from tests.factories.users import service_token, token_for
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, learned
from tests.r3al_project.api.api_calls import ask, post
from tests.races import in_threads
from training.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


def slot(loop: LoopVersion) -> ServingSlot:
    return slot_for(loop.loop, "policy")


def swap(version: ModelVersion, holdback_bp: int = 3_000, rotates: bool = False) -> None:
    slot_swap(
        slot=slot_for(version.loop_version.loop, version.head), version=version, strategy="full_rollout", actor="test",
        reason="test", holdback_bp=holdback_bp, rotates=rotates,
    )  # fmt: skip
    ServingSlot.objects.update(exploration_bp=0)
    clear_policy_cache()


def live(people: int, *, walk_is: str, days_ago: int = 3, again: bool = False) -> None:
    """Everybody is decided for once and says how a walk was, so many days after what was deployed last; then windows pass."""
    token = service_token_again() if again else service_token()
    rng = np.random.default_rng(1)
    if not again:
        people_named([f"p{i}" for i in range(people)], consents=(Purpose.PERSONALIZATION,))
    for i in range(people):
        told = ask(token, f"r{i}-{days_ago}", userId=f"p{i}").told
        bad = told["actions"]["policy"]["action"] == "walk" and walk_is == "bad"
        empathy, total = (0.2, -0.6) if bad else (0.9, 0.4)
        word = {
            "rewardId": "w", "userId": f"p{i}", "label": "dismissed" if bad else "liked",
            "components": {"empathy": empathy + 0.05 * rng.normal(), "sentiment": total},
        }  # fmt: skip
        post(f"/api/v1/optima/decisions/{told['decisionId']}/rewards", token, word)
    today, past = timezone.now() - timedelta(hours=1), timezone.now() - timedelta(days=days_ago)
    ServedDecision.objects.filter(decision__decided_at__gt=today).update(closes_at=past + timedelta(days=1))
    Decision.objects.filter(decided_at__gt=today).update(decided_at=past)
    Deployment.objects.filter(created_at__gt=today).update(created_at=past - timedelta(hours=1))
    outcomes_close()


def service_token_again() -> str:
    return token_for(User.objects.get(username="backend"))


def test_a_harmful_version_is_taken_back_by_itself(loop: LoopVersion) -> None:
    good, harmful = learned(loop, "policy", TALK_IN_A_GOOD_MOOD), learned(loop, "policy", ALWAYS_WALK)
    swap(good)
    swap(harmful)
    live(120, walk_is="bad")
    assert health_tick() == 1
    now = slot(loop)
    assert now.stable == good and now.holdback is None
    check, incident = HealthCheck.objects.get(), Incident.objects.get()
    assert check.state == "degraded" and check.acted and incident.check_made == check
    assert (
        incident.automatic and incident.harmful and "empathy drop" in incident.reason and "first day" in incident.reason
    )
    states = {v.pk: ModelVersion.objects.get(pk=v.pk).state for v in (good, harmful)}
    assert states == {good.pk: "deployed", harmful.pk: "archived"}
    assert Deployment.objects.get(version=harmful).state == "rolled_back"
    assert VaultEvent.objects.filter(kind="rollback", body__version=harmful.pk).exists()
    clear_policy_cache()
    assert ask(service_token_again(), "after", userId="p1").told["versions"]["policy"] == good.pk


def test_a_good_version_stays_and_its_numbers_are_stored(loop: LoopVersion) -> None:
    swap(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    swap(learned(loop, "policy", ALWAYS_WALK))
    live(80, walk_is="good")
    assert health_tick() == 0
    check = HealthCheck.objects.get()
    empathy = next(m for m in check.metrics if m["name"] == "empathy")
    assert check.state == "healthy" and not check.acted and not Incident.objects.exists()
    assert 40 < empathy["n"] < 80 and empathy["verdict"] == "ok" and empathy["low"] < empathy["value"] < empathy["high"]
    assert empathy["over"] == "first day", "no week is closed yet"


def test_a_person_counts_once_whoever_folds(loop: LoopVersion) -> None:
    """Nine days after the deployment: a unit of their first day and one of the first week, with four workers at once."""
    version = learned(loop, "policy", ALWAYS_WALK)
    swap(version)
    live(30, walk_is="good", days_ago=9)
    made = slot(loop)

    in_threads(lambda _: evidence_fold(slot=made), range(4), threads=4)
    units = EvidenceUnit.objects.filter(version=version)
    assert units.count() > 20 and units.values("data_key_id", "epoch").distinct().count() == units.count()
    assert {u.epoch % EPOCHS for u in units} == {FIRST_DAYS, 1} and EvidenceWeek.objects.get().week == 1
    assert all((u.decisions, u.interventions, u.answered, u.rated, u.harmful) == (1, 1, 1, 1, 0) for u in units)
    assert evidence_fold(slot=made) == 0


def held_back(loop: LoopVersion) -> Floats:
    """Rows of the other arm."""
    lived: LivedWeeks = evidence_of(slot(loop), loop.spec).weeks
    return lived.sums[~lived.ours]


def test_what_was_lived_before_the_deployment_is_no_evidence(loop: LoopVersion) -> None:
    """What is held back served everybody when walks were bad; only what its few people live at the same time counts."""
    first, second = (learned(loop, "policy", ALWAYS_WALK) for _ in range(2))
    swap(first, holdback_bp=0)
    live(40, walk_is="bad", days_ago=9)
    assert evidence_fold(slot=slot(loop)) == 80, "a first day and a week each"
    swap(second)
    assert not len(held_back(loop))
    live(40, walk_is="good", again=True)
    assert evidence_fold(slot=slot(loop)) == 40, "first days of both arms"
    counted = held_back(loop)
    assert 2 < len(counted) < 30 and (counted[:, 4] / counted[:, 3]).mean() > 0.8


def test_weeks_of_one_person_are_one_person(loop: LoopVersion) -> None:
    """Eighteen closed weeks of two people: the tests of the newest fourteen are in use, each with two people."""
    version = learned(loop, "policy", ALWAYS_WALK)
    swap(version)
    Deployment.objects.update(created_at=timezone.now() - timedelta(weeks=18, days=1))
    deployment = Deployment.objects.get()
    people = [person(f"w{i}")[0] for i in range(2)]
    ciphers(people)  # they have keys
    EvidenceUnit.objects.bulk_create(
        EvidenceUnit(
            slot=slot(loop), version=version, data_key_id=who, epoch=epoch_number(deployment, week), decisions=4, interventions=2,
            answered=2, rated=2, empathy_sum=1.5, harmful=i, rewarded=4, reward_sum=week, first_exposed_at=deployment.created_at,
            closes_at=deployment.created_at,
        )
        for week in range(1, 19)
        for i, who in enumerate(people)
    )  # fmt: skip
    EvidenceWeek.objects.bulk_create(EvidenceWeek(deployment=deployment, week=week) for week in range(1, 19))
    lived = evidence_of(slot(loop), loop.spec).weeks
    weeks = [s for s in lived.false_interventions().samples if s.over == "1 week"]
    spans = [s for s in lived.reward.samples if s.over == "4 weeks"]
    assert (lived.first, lived.closed) == (5, 18) and lived.empathy.person_means(ours=True).tolist() == [0.75, 0.75]
    assert len(weeks) == 14 and all(sorted(s.values[:, 0]) == [0.0, 0.5] for s in weeks)
    assert [s.values[:, 0].tolist() for s in spans] == [[6.5 / 4] * 2, [10.5 / 4] * 2, [14.5 / 4] * 2]
    check = health_check(slot=slot(loop))
    assert [(m["n"], m["verdict"]) for m in check.metrics[:2]] == [(2, "too_few")] * 2


def lived_days(loop: LoopVersion, version: ModelVersion, people: int, days: int, *, bad: frozenset[int]) -> None:
    """Everybody is decided for once a day by ``version`` from the deployment on, and dismisses it on the weekdays in ``bad``."""
    began = Deployment.objects.order_by("-pk")[0].created_at
    ids = people_named([f"d{i}" for i in range(people)], consents=(Purpose.PERSONALIZATION,))
    keys = ciphers(ids)
    made = Decision.objects.bulk_create(
        Decision(
            person_id=who, loop_version=loop, row_key=f"{who}-{day}".encode().rjust(16, b"0"), local_day=began.date(),
            decided_at=began + timedelta(days=day, hours=1), available=True, state=b"",
        )
        for who in ids
        for day in range(days)
    )  # fmt: skip
    ServedDecision.objects.bulk_create(
        ServedDecision(
            decision=d, person_id=d.person_id, request_key=bytes(d.row_key), seed=b"s", expires_at=d.decided_at,
            closes_at=d.decided_at + timedelta(days=1), closed_at=d.decided_at + timedelta(days=1),
        )
        for d in made
    )  # fmt: skip
    Choice.objects.bulk_create(
        Choice(
            decision=d, head="policy", action=2, propensity=1.0, marginal_propensity=1.0, explored=False, version=version.pk,
            generation=1,
        )
        for d in made
    )  # fmt: skip
    outcomes = []
    for d in made:
        harmful = (d.decided_at - began).days % 7 in bad
        payload = np.full(7, np.nan)
        payload[0], payload[1 + COMPONENTS.index("empathy")] = (-0.6, 0.2) if harmful else (0.4, 0.9)
        sealed = keys[d.person_id].seal(payload.tobytes(), about_outcome(d.person_id, bytes(d.row_key)))
        outcomes.append(
            RewardSignal(decision=d, payload=sealed, harmful=harmful, closed_at=d.decided_at + timedelta(days=1))
        )
    RewardSignal.objects.bulk_create(outcomes)


@pytest.mark.parametrize(("bad", "shown", "state"), [
    (frozenset({1, 2, 3, 4, 5, 6}), 6 / 7, "critical"), (frozenset({0}), 1 / 7, "degraded"), (frozenset[int](), 0.0, "healthy"),
])  # fmt: skip
def test_harm_on_some_weekdays_is_shown_in_its_true_size(
    loop: LoopVersion, bad: frozenset[int], shown: float, state: str
) -> None:
    """The weekday of the deployment is 0. One day a week would be called healthy for ever, or wholly harmful."""
    version = learned(loop, "policy", ALWAYS_WALK)
    swap(version, holdback_bp=0)
    Deployment.objects.update(created_at=timezone.now() - timedelta(days=15, hours=2))
    minutes(version, [0.5] * 40 if state == "critical" else [0.0] * 40, loop=loop)
    lived_days(loop, version, 80, 14, bad=bad)
    check = health_check(slot=slot(loop))
    found = {m["name"]: m for m in check.metrics}
    assert (
        found["false_intervention"]["value"] == pytest.approx(shown) and found["false_intervention"]["over"] == "weeks"
    )
    assert check.state == state and EvidenceWeek.objects.count() == 2


def test_a_week_counts_once_its_last_outcome_is_closed(loop: LoopVersion) -> None:
    version = learned(loop, "policy", ALWAYS_WALK)
    swap(version, holdback_bp=0)
    Deployment.objects.update(created_at=timezone.now() - timedelta(days=15, hours=2))
    lived_days(loop, version, 4, 14, bad=frozenset())
    late = ServedDecision.objects.order_by("decision__decided_at").last()
    assert late is not None
    ServedDecision.objects.filter(pk=late.pk).update(closed_at=None)
    evidence_fold(slot=slot(loop))
    assert EvidenceWeek.objects.get().week == 1
    ServedDecision.objects.filter(pk=late.pk).update(closed_at=late.closed_at)
    assert evidence_fold(slot=slot(loop)) == 4 and EvidenceWeek.objects.count() == 2


def test_a_trial_watches_the_candidate_against_the_stable_version_of_the_same_time(loop: LoopVersion) -> None:
    stable, candidate = (learned(loop, "policy", ALWAYS_WALK) for _ in range(2))
    swap(stable, holdback_bp=0)
    ServingSlot.objects.filter(pk=slot(loop).pk).update(candidate=candidate, weight_bp=5_000)
    clear_policy_cache()
    live(60, walk_is="good")
    check = health_check(slot=slot(loop))
    lived = evidence_of(slot(loop), loop.spec)
    assert check.version == candidate and lived.other_arm == "trial" and not check.acted
    assert 15 < lived.weeks.ours.sum() < 45 and len(lived.weeks.ours) == 60
    assert {t["name"] for t in check.triggers} >= {"empathy_drop", "false_intervention_rise", "silence"}


def test_any_proven_harm_stops_a_trial_and_the_stable_version_stays(loop: LoopVersion) -> None:
    stable, candidate = learned(loop, "policy", TALK_IN_A_GOOD_MOOD), learned(loop, "policy", ALWAYS_WALK)
    swap(stable, holdback_bp=0)
    trial = Deployment.objects.create(
        slot=slot(loop), version=candidate, previous=stable, strategy="trial", state="in_progress",
        frozen_policy={"holdback": None, "holdback_bp": 0, "rotates": False},
    )  # fmt: skip
    ServingSlot.objects.filter(pk=slot(loop).pk).update(candidate=candidate, weight_bp=5_000)
    clear_policy_cache()
    live(120, walk_is="bad")
    assert health_tick() == 1
    now, incident = slot(loop), Incident.objects.get()
    assert (
        (now.stable, now.candidate) == (stable, None) and incident.version == candidate and incident.deployment == trial
    )
    assert incident.harmful and incident.automatic and incident.check_made == HealthCheck.objects.get()


def test_a_rotating_holdback_is_counted_by_the_version_of_each_persons_week(loop: LoopVersion) -> None:
    """Half of 40 people are held back, drawn anew in the second week: each week counts in the arm in which it was lived."""
    old, new = (learned(loop, "policy", ALWAYS_WALK) for _ in range(2))
    swap(old, holdback_bp=0)
    swap(new, holdback_bp=5_000, rotates=True)
    live(40, walk_is="good", days_ago=16)
    began = Deployment.objects.order_by("-pk")[0].created_at
    first = set(Choice.objects.filter(version=old.pk).values_list("decision__person_id", flat=True))
    clear_policy_cache()
    live(40, walk_is="good", days_ago=3, again=True)
    Deployment.objects.update(created_at=began)
    evidence_fold(slot=slot(loop))
    lived = evidence_of(slot(loop), loop.spec)
    weeks = {w: set(lived.weeks.person[(lived.weeks.week == w) & ~lived.weeks.ours].tolist()) for w in (1, 2)}
    assert lived.other_arm == "rotating" and weeks[1] == first and lived.weeks.closed == 2
    served = set(Choice.objects.filter(version=old.pk, decision__decided_at__gt=began + timedelta(days=12)).values_list(
        "decision__person_id", flat=True
    ))  # fmt: skip
    assert weeks[2] == served != first and 5 < len(served) < 35


def minutes(version: ModelVersion, shares: list[float], *, loop: LoopVersion) -> None:
    """Twenty requests in each of the last minutes, of which such shares took more than 250 ms."""
    first = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=len(shares) + 2)
    LatencyMinute.objects.bulk_create(
        LatencyMinute(
            loop=loop.loop, version=version, minute=first + timedelta(minutes=i), requests=20,
            over_200_ms=round(20 * share), over_250_ms=round(20 * share),
        )
        for i, share in enumerate(shares)
    )  # fmt: skip


@pytest.mark.parametrize(("before", "taken_back"), [(0.0, 1), (0.7, 0)])
def test_a_slow_version_is_taken_back_and_a_slow_database_takes_nothing_back(
    loop: LoopVersion, before: float, taken_back: int
) -> None:
    old, new = (learned(loop, "policy", ALWAYS_WALK) for _ in range(2))
    swap(old)
    swap(new)
    Deployment.objects.update(created_at=timezone.now() - timedelta(days=2))
    minutes(new, [0.7] * 40, loop=loop)
    minutes(old, [before] * 40, loop=loop)
    assert health_tick() == taken_back
    check = HealthCheck.objects.get()
    assert check.state == "degraded" and check.acted is bool(taken_back)
    assert [t["name"] for t in check.triggers if t["fires"]] == ["latency_over_250_ms"] * taken_back
    assert slot(loop).stable == (old if taken_back else new)


def test_latency_is_judged_by_this_hour_and_the_one_before(loop: LoopVersion) -> None:
    """Three hours of minutes, the first of which was slow; the minute that is not over yet is not looked at."""
    version = learned(loop, "policy", ALWAYS_WALK)
    swap(version)
    now = timezone.now()
    Deployment.objects.update(created_at=now - timedelta(hours=50, minutes=20))
    minutes(version, [1.0] * 60 + [0.0] * 120, loop=loop)
    latency = evidence_of(slot(loop), loop.spec).latency
    assert latency.minutes.first == 50 and not latency.over_200_ms
    assert 76 <= len(latency.minutes.values) <= 80 and latency.requests == 20 * len(latency.minutes.values)
    assert [len(values) for values, _ in latency.minutes.tests] == [
        len(latency.minutes.values), len(latency.minutes.values) - latency.minutes.starts[1],
    ]  # fmt: skip
    (metric,) = (m for m in health_check(slot=slot(loop)).metrics if m["name"] == "latency")
    assert metric["verdict"] == "ok" and metric["value"] == 0.0 and metric["high"] < 0.3


def test_one_slot_that_cannot_be_looked_at_hides_no_other(loop: LoopVersion) -> None:
    """The first loop has no version any more, as after a restored backup; the second is looked at all the same."""
    swap(learned(loop, "policy", ALWAYS_WALK))
    stranded = Loop.objects.create(name="stranded")
    ServingSlot.objects.filter(pk=slot(loop).pk).update(loop=stranded)
    swap(learned(loop, "tone", [[0.0] * 4, [1.0, 0.0, 0.0, 0.0]]))
    slots_seed(loop_version=loop)
    assert health_tick() == 0
    assert set(HealthCheck.objects.values_list("slot__head", flat=True)) == {"tone"}


def test_old_looks_and_latencies_are_dropped(loop: LoopVersion) -> None:
    version = learned(loop, "policy", ALWAYS_WALK)
    swap(version)
    health_tick()
    minutes(version, [0.0], loop=loop)
    long_ago = timezone.now() - timedelta(days=91)
    HealthCheck.objects.update(created_at=long_ago)
    LatencyMinute.objects.update(minute=long_ago)
    EvidenceUnit.objects.update(closes_at=timezone.now() - timedelta(weeks=18, days=1))
    health_tick()
    assert HealthCheck.objects.count() == 1 and not LatencyMinute.objects.exists()


def test_open_windows_say_nothing(loop: LoopVersion) -> None:
    version = learned(loop, "policy", ALWAYS_WALK)
    swap(version)
    ask(person("ann")[1], "r1")
    assert evidence_fold(slot=slot(loop)) == 0
    assert health_check(slot=slot(loop)).state == "healthy"


def test_never_back_to_what_did_harm(loop: LoopVersion) -> None:
    """Three versions; the second is taken back for harm, then the third: back to the first, and at last to the reference."""
    versions = [learned(loop, "policy", ALWAYS_WALK) for _ in range(3)]
    for i, version in enumerate(versions):
        swap(version)
        if i == 1:
            slot_rollback(slot=slot(loop), actor="test", reason="harm", automatic=False, harmful=True)
            assert slot(loop).stable == versions[0]
    slot_rollback(slot=slot(loop), actor="test", reason="harm", automatic=False, harmful=True)
    assert slot(loop).stable == versions[0]
    slot_rollback(slot=slot(loop), actor="test", reason="worse", automatic=False, harmful=False)
    assert slot(loop).stable.kind == "reference"
    with pytest.raises(Conflict, match="nothing to roll back"):
        slot_rollback(slot=slot(loop), actor="test", reason="again", automatic=False, harmful=False)
    with pytest.raises(InputError, match="needs a reason"):
        slot_rollback(slot=slot(loop), actor="test", reason=" ", automatic=False, harmful=False)


def test_two_operators_at_once(loop: LoopVersion) -> None:
    """Eight threads, one slot as all of them read it: one wins, nobody sees nothing serving."""
    for _ in range(2):
        swap(learned(loop, "policy", ALWAYS_WALK))
    seen = slot(loop)

    def take_back(i: int) -> str:
        try:
            slot_rollback(slot=seen, actor=f"operator {i}", reason="at once", automatic=False, harmful=False)
            return "won"
        except Conflict:
            return "lost"

    assert sorted(in_threads(take_back, range(8), threads=8)) == ["lost"] * 7 + ["won"]
    assert Incident.objects.count() == 1 and slot(loop).generation == seen.generation + 1
    assert ModelVersion.objects.filter(head="policy", state="deployed", kind="linear_q").count() == 1
