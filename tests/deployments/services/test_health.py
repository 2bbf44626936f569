"""Health on the real tables: a planted harmful version goes back by itself, a good one stays, nothing is counted twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from deployments.models import Deployment, EvidenceUnit, HealthCheck, Incident, ServingSlot
from deployments.selectors import slot_for
from deployments.services.evidence import evidence_fold
from deployments.services.health import health_check, health_tick
from deployments.services.rollback import slot_rollback
from deployments.services.served_policies import forget_serving
from deployments.services.slots import slot_swap
from loops.models import LoopVersion
from privacy.models import Decision, Purpose, RewardEvent, ServedDecision, VaultEvent
from privacy.services.closing import outcomes_close
from r3al_project.common.errors import Conflict, InputError
from tests.deployments.serving import (
    ALWAYS_WALK,
    TALK_IN_A_GOOD_MOOD,
    ask,
    care_loop,
    learned,
    person,
    post,
    service_token,
)
from training.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


def slot(loop: LoopVersion) -> ServingSlot:
    return slot_for(loop.loop, "policy")


def swap(version: ModelVersion, holdback_bp: int = 3_000) -> None:
    made = slot_for(version.loop_version.loop, version.head)
    slot_swap(slot=made, version=version, actor="test", reason="test", holdback_bp=holdback_bp)
    ServingSlot.objects.update(exploration_bp=0)
    forget_serving()


def live(people: int, *, walk_is: str) -> None:
    """Everybody is decided for once and says how a walk was; then their windows pass."""
    token = service_token()
    rng = np.random.default_rng(1)
    for i in range(people):
        person(f"p{i}", consents=(Purpose.PERSONALIZATION,))
        told = ask(token, f"r{i}", userId=f"p{i}").told
        bad = told["actions"]["policy"]["action"] == "walk" and walk_is == "bad"
        empathy, total = (0.2, -0.6) if bad else (0.9, 0.4)
        word = {
            "rewardId": "w", "userId": f"p{i}", "label": "dismissed" if bad else "liked",
            "components": {"empathy": empathy + 0.05 * rng.normal(), "sentiment": total},
        }  # fmt: skip
        post(f"/api/v1/optima/decisions/{told['decisionId']}/rewards", token, word)
    past = timezone.now() - timedelta(days=3)
    Decision.objects.update(decided_at=past)
    ServedDecision.objects.update(closes_at=past + timedelta(days=1))
    RewardEvent.objects.update(late=False)
    Deployment.objects.update(created_at=past - timedelta(hours=1))
    outcomes_close()


def test_a_harmful_version_is_taken_back_by_itself(loop: LoopVersion) -> None:
    good, harmful = learned(loop, "policy", TALK_IN_A_GOOD_MOOD), learned(loop, "policy", ALWAYS_WALK)
    swap(good)
    swap(harmful)
    live(120, walk_is="bad")
    assert health_tick() == 1
    now = slot(loop)
    assert now.stable == good and now.holdback is None
    check, incident = HealthCheck.objects.get(), Incident.objects.get()
    assert check.state == "critical" and check.acted and incident.check_made == check
    assert incident.automatic and incident.harmful and "beyond their thresholds" in incident.reason
    states = {v.pk: ModelVersion.objects.get(pk=v.pk).state for v in (good, harmful)}
    assert states == {good.pk: "deployed", harmful.pk: "archived"}
    assert Deployment.objects.get(version=harmful).state == "rolled_back"
    assert VaultEvent.objects.filter(kind="rollback", body__version=harmful.pk).exists()
    forget_serving()
    assert ask(service_token_again(), "after", userId="p1").told["versions"]["policy"] == good.pk


def service_token_again() -> str:
    from django.contrib.auth.models import User
    from knox.models import AuthToken

    return str(AuthToken.objects.create(User.objects.get(username="backend"))[1])


def test_a_good_version_stays_and_its_numbers_are_stored(loop: LoopVersion) -> None:
    swap(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    swap(learned(loop, "policy", ALWAYS_WALK))
    live(80, walk_is="good")
    assert health_tick() == 0
    check = HealthCheck.objects.get()
    empathy = next(m for m in check.metrics if m["name"] == "empathy")
    assert check.state == "healthy" and not check.acted and not Incident.objects.exists()
    assert 40 < empathy["n"] < 80 and empathy["verdict"] == "ok" and empathy["low"] < empathy["value"] < empathy["high"]


def test_a_person_counts_once_whoever_folds(loop: LoopVersion) -> None:
    version = learned(loop, "policy", ALWAYS_WALK)
    swap(version)
    live(30, walk_is="good")
    made = slot(loop)

    def fold(_: int) -> None:
        try:
            evidence_fold(slot=made, version=version)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fold, range(4)))
    units = EvidenceUnit.objects.filter(version=version)
    assert len(set(units.values_list("person_id", flat=True))) == units.count() > 10
    assert all((u.decisions, u.interventions, u.rated, u.harmful) == (1, 1, 1, 0) for u in units)


def test_open_windows_say_nothing(loop: LoopVersion) -> None:
    version = learned(loop, "policy", ALWAYS_WALK)
    swap(version)
    ask(person("ann")[1], "r1")
    assert evidence_fold(slot=slot(loop), version=version) == 0
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
    with pytest.raises(Conflict, match="nothing to take back"):
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
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(take_back, range(8)))
    assert sorted(results) == ["lost"] * 7 + ["won"]
    assert Incident.objects.count() == 1 and slot(loop).generation == seen.generation + 1
    assert ModelVersion.objects.filter(head="policy", state="deployed", kind="linear_q").count() == 1
