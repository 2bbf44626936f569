"""The app's own choices: served while an apprentice watches, below every rule of safety, and nobody learns from them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.models import LatencyMinute, ServingSlot, ShadowMinute
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.operate import rollout_abort, rollout_pause
from deployments.services.rollouts.start import rollout_start
from deployments.services.serving.latency import latency_write
from deployments.services.serving.policy_cache import clear_policy_cache
from deployments.services.serving.replay import decisions_replay
from loops.engine.heads import MAIN_HEAD
from loops.models import LoopVersion
from privacy.models import Choice, Decision, ServedDecision, ServingState
from privacy.selectors.decisions import decision_arrays, usable_decisions
from privacy.services.vault.sealed_decisions import decision_leaves, decisions_seal
from tests.factories.apprentices import apprentice, people_live
from tests.factories.care import care_loop, person
from tests.factories.shadows import WorkedByHand, worked_by_hand
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, serve
from tests.r3al_project.api.api_calls import ask

pytestmark = pytest.mark.django_db
TALK: dict[str, Any] = {"ownChoice": {"policy": "talk"}}


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> WorkedByHand:
    return worked_by_hand(monkeypatch)


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


def watched(loop: LoopVersion, head: str = "policy", weights: list[list[float]] = ALWAYS_WALK) -> Any:
    return apprentice(judged(learned(loop, head, weights)))


def test_the_apps_own_choice_is_served_committed_and_credited_to_no_version(loop: LoopVersion) -> None:
    watched(loop)
    _, token = person("ann")
    told = ask(token, "r1", **TALK).told
    assert told["available"] and told["actions"]["policy"] == {"action": "talk", "chosenBy": "app"}
    assert "policy" not in told["versions"] and told["versions"].keys() == {"tone"}
    assert told["generations"]["policy"] == slot_for(loop.loop, "policy").generation
    choice = Choice.objects.get(head="policy")
    assert (choice.action, choice.fallback, choice.version, choice.learnable) == (1, "app", None, False)
    assert (choice.propensity, choice.marginal_propensity, choice.explored) == (None, None, False)
    assert ServingState.objects.get().last_intervened, "its intervention counts for caps and cool-downs as any other"
    tone = Choice.objects.get(head="tone")
    assert tone.learnable and tone.propensity is not None and tone.version is not None


def test_a_request_without_a_choice_gets_the_stable_version(loop: LoopVersion) -> None:
    watched(loop)
    _, token = person("ann")
    told = ask(token, "r1").told
    assert told["versions"]["policy"] == slot_for(loop.loop, "policy").stable_id
    assert "chosenBy" not in told["actions"]["policy"] and "propensity" in told["actions"]["policy"]
    assert Choice.objects.get(head="policy").fallback == ""


def test_without_an_apprentice_the_apps_choice_changes_nothing(loop: LoopVersion) -> None:
    serve(learned(loop, "policy", ALWAYS_WALK))
    ServingSlot.objects.update(exploration_bp=0)
    clear_policy_cache()
    _, token = person("ann")
    assert ask(token, "r1", **TALK).told["actions"]["policy"]["action"] == "walk"
    rollout_start(
        strategy="shadow_test", version=judged(learned(loop, "policy", TALK_IN_A_GOOD_MOOD)), actor="ann", reason="look"
    )
    clear_policy_cache()
    assert ask(token, "r2", **TALK).told["actions"]["policy"]["action"] == "walk"


def test_a_body_without_a_choice_keeps_the_seed_that_it_always_had(loop: LoopVersion) -> None:
    """An empty choice is another body than none, so a retry after an upgrade still finds its decision."""
    _, token = person("ann")
    assert ask(token, "r1").status_code == 200 and ask(token, "r1").status_code == 200
    assert ask(token, "r1", ownChoice={}).status_code == 422


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"policy": "sing"}, "ownChoice.policy names 'sing'; the actions of policy are wait, talk, walk"),
        ({"mood": "talk"}, "ownChoice.mood is not a head of loop 'care'; its heads are policy, tone"),
        ({"policy": 1}, "ownChoice"),
        ("talk", "ownChoice"),
        (None, "ownChoice"),
    ],
)
@pytest.mark.parametrize("is_watched", [True, False])
def test_a_bad_choice_is_refused_whether_it_would_be_served_or_not(
    loop: LoopVersion, own: Any, said: str, is_watched: bool
) -> None:
    if is_watched:
        watched(loop)
    _, token = person("ann")
    refused = ask(token, "r1", ownChoice=own)
    assert refused.status_code == 422 and said in json.dumps(refused.told, ensure_ascii=False).replace('\\"', '"')
    assert not Decision.objects.exists()


def test_a_choice_that_the_request_itself_does_not_allow_is_refused(loop: LoopVersion) -> None:
    watched(loop)
    _, token = person("ann")
    refused = ask(token, "r1", eligible={"policy": ["wait", "walk"]}, **TALK)
    assert refused.status_code == 422 and "which eligible.policy does not allow" in refused.told["detail"]
    told = ask(token, "r2", eligible={"policy": ["wait", "talk"]}, **TALK).told
    assert told["actions"]["policy"] == {"action": "talk", "chosenBy": "app"}
    assert Choice.objects.get(head="policy").eligible == 0b011


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ('cooldown = "30d"', "cooldown"),
        ("daily_cap = 1", "daily_cap"),
        ('quiet_hours = ["00:00", "23:59"]', "quiet_hours"),
    ],
)
def test_the_rules_of_safety_stand_above_the_apps_choice(rules: str, reason: str) -> None:
    watched(care_loop(rules=rules))
    _, token = person("ann")
    at: dict[str, Any] = {"localTime": "2026-06-01T12:00:00+00:00"}
    told = [ask(token, f"r{i}", **TALK, **at).told for i in range(2)][-1]
    assert (told["available"], told["reason"]) == (False, reason)
    assert told["actions"]["policy"] == {"action": "wait"}


def test_nobody_without_consent_gets_the_apps_choice(loop: LoopVersion) -> None:
    watched(loop)
    _, token = person("ann", consents=())
    assert ask(token, "r1", **TALK).status_code == 403 and not Decision.objects.exists()


def test_a_retry_gets_the_same_bytes_also_after_the_apprentice_is_gone(loop: LoopVersion) -> None:
    made = watched(loop)
    _, token = person("ann")
    first = ask(token, "r1", **TALK)
    assert ask(token, "r1", **TALK).content == first.content and Decision.objects.count() == 1
    assert ask(token, "r1", ownChoice={"policy": "walk"}).status_code == 422, "another choice is another body"
    rollout_abort(rollout=made, actor="ann", reason="enough")
    clear_policy_cache()
    assert ask(token, "r1", **TALK).content == first.content
    assert "chosenBy" not in ask(token, "r2", **TALK).told["actions"]["policy"]


def test_a_pause_serves_the_stable_version(loop: LoopVersion) -> None:
    made = watched(loop)
    rollout_pause(rollout=made, actor="ann", reason="a fault of the app")
    clear_policy_cache()
    _, token = person("ann")
    assert "chosenBy" not in ask(token, "r1", **TALK).told["actions"]["policy"]


def test_another_head_may_have_the_apprentice(loop: LoopVersion) -> None:
    """Its choice is served where the head acts, and the policy head goes on to explore and to learn."""
    serve(learned(loop, "policy", ALWAYS_WALK))
    ServingSlot.objects.update(exploration_bp=0)
    watched(loop, "tone", [[0.0] * 4, [1.0, 0.0, 0.0, 0.0]])
    _, token = person("ann")
    told = ask(token, "r1", ownChoice={"policy": "talk", "tone": "warm"}).told
    assert told["actions"]["policy"]["action"] == "walk" and "propensity" in told["actions"]["policy"]
    assert told["actions"]["tone"] == {"action": "warm", "chosenBy": "app"}
    assert Choice.objects.get(head="policy").learnable and not Choice.objects.get(head="tone").learnable


def test_no_policy_learns_from_what_the_app_chose(loop: LoopVersion) -> None:
    watched(loop)
    people_live(lambda mood, n: "walk" if n % 2 else None, people=4, each=6)
    usable = usable_decisions(loop_version=loop, fresh=True)
    assert usable.count() == 12 and Decision.objects.count() == 24
    assert not usable.filter(choices__head=MAIN_HEAD, choices__fallback="app").exists()
    arrays = decision_arrays(loop_version=loop, person_ids=None)
    assert (arrays.heads["policy"].action >= 0).sum() == 12


def test_the_version_decides_beside_the_app_after_the_answer(loop: LoopVersion, worker: WorkedByHand) -> None:
    watched(loop)
    people_live(lambda mood, n: (None, "walk", "wait")[n % 3], people=5, each=6)
    assert not ShadowMinute.objects.exists(), "nothing happens within the requests"
    worker.work_through()
    row = ShadowMinute.objects.get()
    assert (row.scored, row.compared, row.agreed) == (20, 20, 10), "requests without a choice have nothing to compare"
    assert (row.intervened, row.stable_intervened) == (20, 10)


def test_its_latency_is_counted_under_the_stable_version(loop: LoopVersion) -> None:
    watched(loop)
    _, token = person("ann")
    ask(token, "r1", **TALK)
    latency_write()
    assert {row.version_id for row in LatencyMinute.objects.all()} <= {slot_for(loop.loop, "policy").stable_id}


def test_such_decisions_are_replayed_and_sealed_as_others(loop: LoopVersion) -> None:
    watched(loop)
    people_live(lambda mood, n: ("walk", "talk", "wait", None)[n % 4], people=3, each=8)
    assert {result.difference for result in decisions_replay()} == {""}
    assert decisions_seal() is not None
    assert ServedDecision.objects.filter(vault_batch__isnull=True).count() == 0
    row = ServedDecision.objects.filter(decision__choices__fallback="app").first()
    assert row is not None
    before = decision_leaves([row])
    Choice.objects.filter(decision=row.pk, head="policy").update(
        action=(row.decision.choices.get(head="policy").action + 1) % 3
    )
    assert decision_leaves([ServedDecision.objects.get(pk=row.pk)]) != before
