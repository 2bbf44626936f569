"""Rollouts through the API: what is known of each, and the acts by which operators steer them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command

from deployments.models import Deployment, Incident, RolloutAct, RolloutCheck
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.operate import rollout_abort, rollout_ask, rollout_pause
from deployments.services.rollouts.start import rollout_start
from deployments.services.rollouts.trial import trial_start
from deployments.services.ticks.rollout_tick import rollout_tick
from loops.models import LoopVersion
from privacy.models import VaultEvent
from tests.factories.care import care_loop
from tests.factories.lived_weeks import begun_before, live_weeks, people_with_keys
from tests.factories.users import token_for, token_of
from tests.factories.versions import ALWAYS_WALK, judged, learned, undecided
from tests.r3al_project.api.documented import call
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
DECLARED = '[rollout]\nstrategy = "canary"\nstages = [0.2, 0.5]\ndwell_weeks = 2\nextensions = 1\n'
WHY = {"reason": "because"}
ACTS = ("approve", "pause", "resume", "promote", "abort", "retry")


@pytest.fixture(autouse=True)
def loop() -> LoopVersion:
    call_command("roles")
    return care_loop(rollout=DECLARED)


@pytest.fixture
def operator(loop: LoopVersion) -> str:
    return token_of("Operator")


def version_of(loop: LoopVersion) -> ModelVersion:
    return judged(learned(loop, "policy", ALWAYS_WALK))


@pytest.fixture
def canary(loop: LoopVersion) -> Deployment:
    return rollout_start(strategy="canary", version=version_of(loop), actor="ann", reason="it passed")


def lived(rollout: Deployment, people: int) -> None:
    """The first stage's two weeks pass, and a check judges them."""
    begun_before(rollout, 2.2)
    live_weeks(rollout, people_with_keys(rollout, people), (1, 2))
    rollout_tick()


def address(rollout: Deployment, act: str = "") -> str:
    return f"training/rollouts/{rollout.pk}" + (f"/{act}" if act else "")


def state_of(rollout: Deployment) -> tuple[str, int, int]:
    rollout.refresh_from_db()
    slot = slot_for(rollout.slot.loop, "policy")
    return rollout.state, rollout.stage, slot.weight_bp


class TestWhatIsKnown:
    def test_a_rollout_that_just_began(self, canary: Deployment, operator: str) -> None:
        told = call("GET", address(canary), operator).told
        assert (told["rolloutId"], told["versionId"], told["loop"]) == (canary.pk, canary.version.name, "care")
        assert (told["strategy"], told["state"], told["startedBy"]) == ("canary", "in_progress", "ann")
        assert (told["stage"], told["stages"], told["share"]) == (1, [0.2, 0.5], 0.2)
        assert (told["closedWeeks"], told["dueWeeks"], told["extended"]) == (0, 2, 0)
        assert told["waitsFor"] is None and told["lastVerdict"] is None and told["deadline"]
        assert told["nextStep"] == "7 days left of week 1 of 2. There is no data yet."
        assert told["terms"]["dwellWeeks"] == 2 and told["terms"]["whenInsufficient"] == "go_back"
        assert "holdbackBp" not in told["terms"], "what the slot held before is no term"

    def test_its_last_verdict_with_figures_and_all_verdicts(self, canary: Deployment, operator: str) -> None:
        lived(canary, 200)
        told = call("GET", address(canary), operator).told
        assert (told["stage"], told["share"]) == (2, 0.5)
        verdict = told["lastVerdict"]
        assert (verdict["step"], verdict["label"], verdict["stage"]) == ("advance", "safe to go on", 1)
        assert verdict["acted"] and verdict["reasons"] and verdict["figures"]["conditions"]["empathy"]["low"] > 0
        listed = call("GET", address(canary, "checks"), operator).told
        assert [c["checkId"] for c in listed["results"]] == [verdict["checkId"]] and listed["next"] is None

    def test_figures_of_fewer_than_ten_people_of_an_arm_are_not_shown(self, canary: Deployment, operator: str) -> None:
        lived(canary, 12)
        verdict = call("GET", address(canary), operator).told["lastVerdict"]
        check = RolloutCheck.objects.get()
        assert check.facts["candidate"]["people"] < 10 and check.figures
        assert verdict["step"] == "extend" and verdict["figures"] is None

    def test_the_list_is_cut_into_pages_and_filtered(self, canary: Deployment, operator: str) -> None:
        rollout_abort(rollout=canary, actor="ann", reason="changed my mind")
        second = call("POST", address(canary, "retry"), operator, WHY).told["rolloutId"]
        page = call("GET", "training/rollouts?pageSize=1", operator).told
        assert [r["rolloutId"] for r in page["results"]] == [second]
        older = call("GET", page["next"].partition("/api/v1/")[2], operator).told
        assert [r["rolloutId"] for r in older["results"]] == [canary.pk] and older["next"] is None
        aborted = call("GET", "training/rollouts?state=aborted&loop=care", operator).told["results"]
        assert [r["rolloutId"] for r in aborted] == [canary.pk] and aborted[0]["share"] is None
        for query in ("state=lost", "loop=lost", "strategy=canary"):
            assert call("GET", f"training/rollouts?{query}", operator).status_code == 422

    def test_a_list_of_many_asks_the_database_as_often_as_one_of_one(
        self, loop: LoopVersion, operator: str, django_assert_max_num_queries: Any
    ) -> None:
        for _ in range(6):
            made = rollout_start(strategy="canary", version=version_of(loop), actor="ann", reason="r")
            rollout_abort(rollout=made, actor="ann", reason="r")
        with django_assert_max_num_queries(20):
            assert len(call("GET", "training/rollouts", operator).told["results"]) == 6


class TestActs:
    def test_pause_and_resume(self, canary: Deployment, operator: str) -> None:
        paused = call("POST", address(canary, "pause"), operator, {"reason": "holidays"}).told
        assert (paused["state"], paused["share"]) == ("paused", 0.0)
        assert paused["nextStep"] == "Paused by user-Operator because: holidays. Resume it or abort it."
        again = call("POST", address(canary, "pause"), operator, WHY)
        assert again.status_code == 409 and "is paused" in again.told["detail"]
        resumed = call("POST", address(canary, "resume"), operator, WHY).told
        assert (resumed["state"], resumed["share"]) == ("in_progress", 0.2)
        assert call("POST", address(canary, "resume"), operator, WHY).status_code == 409
        assert [(a.act, a.actor, a.reason) for a in RolloutAct.objects.all()] == [
            ("pause", "user-Operator", "holidays"), ("resume", "user-Operator", "because"),
        ]  # fmt: skip

    def test_approve_gives_the_next_share(self, canary: Deployment, operator: str) -> None:
        early = call("POST", address(canary, "approve"), operator, WHY)
        assert early.status_code == 409 and "waits for no approval" in early.told["detail"]
        assert state_of(canary) == ("in_progress", 0, 2_000)
        rollout_ask(rollout=canary, stage=0, act="advance")
        asked = call("GET", address(canary), operator).told
        assert asked["waitsFor"] == "advance"
        assert asked["nextStep"] == "It waits for your approval: then 50% of people get the version."
        assert call("POST", address(canary, "approve"), operator, WHY).told["stage"] == 2
        assert state_of(canary) == ("in_progress", 1, 5_000)
        assert call("POST", address(canary, "approve"), operator, WHY).status_code == 409, "it was approved once"

    def test_promote_before_the_evidence_says_so_is_an_override(self, canary: Deployment, operator: str) -> None:
        deployer = User.objects.create_user("deployer")
        deployer.user_permissions.add(*_permissions("deploy_version", "view_modelversion"))
        refused = call("POST", address(canary, "promote"), token_for(deployer), WHY)
        assert refused.status_code == 403 and "may not override" in refused.told["detail"]
        assert state_of(canary) == ("in_progress", 0, 2_000)
        done = call("POST", address(canary, "promote"), operator, {"reason": "we must"}).told
        assert (done["state"], done["share"]) == ("succeeded", None)
        assert slot_for(canary.slot.loop, "policy").stable_id == canary.version_id
        assert "override" in VaultEvent.objects.filter(kind="deployment").latest("pk").body

    def test_a_promotion_that_the_evidence_asks_for_overrides_nothing(self, canary: Deployment) -> None:
        rollout_ask(rollout=canary, stage=0, act="promote")
        deployer = User.objects.create_user("deployer")
        deployer.user_permissions.add(*_permissions("deploy_version", "view_modelversion"))
        assert call("POST", address(canary, "promote"), token_for(deployer), WHY).told["state"] == "succeeded"
        assert "override" not in VaultEvent.objects.filter(kind="deployment").latest("pk").body

    def test_a_trial_is_not_promoted_here(self, loop: LoopVersion, operator: str) -> None:
        trial = trial_start(version=undecided(learned(loop, "policy", ALWAYS_WALK)), actor="turn 1", reason="r")
        refused = call("POST", address(trial, "promote"), operator, WHY)
        assert refused.status_code == 409 and "is on trial" in refused.told["detail"]
        assert state_of(trial) == ("in_progress", 0, 5_000)

    def test_abort_and_retry_with_people_drawn_anew(self, canary: Deployment, operator: str) -> None:
        salt = slot_for(canary.slot.loop, "policy").salt
        ended = call("POST", address(canary, "abort"), operator, {"reason": "no time"}).told
        assert (ended["state"], ended["harmful"]) == ("aborted", False)
        for act in ("abort", "pause", "resume", "approve", "promote"):
            refused = call("POST", address(canary, act), operator, WHY)
            assert refused.status_code == 409 and "aborted" in refused.told["detail"], act
        again = call("POST", address(canary, "retry"), operator, WHY).told
        assert again["rolloutId"] != canary.pk and (again["state"], again["strategy"]) == ("in_progress", "canary")
        assert slot_for(canary.slot.loop, "policy").salt != salt
        assert call("POST", address(canary, "retry"), operator, WHY).status_code == 409

    def test_what_did_harm_is_never_tried_again(self, canary: Deployment, operator: str) -> None:
        ended = call("POST", address(canary, "abort"), operator, {"reason": "people frown", "harmful": True}).told
        assert (ended["state"], ended["harmful"]) == ("rolled_back", True)
        assert Incident.objects.get().harmful
        refused = call("POST", address(canary, "retry"), operator, WHY)
        assert refused.status_code == 409 and Deployment.objects.count() == 1

    @pytest.mark.parametrize("act", ACTS)
    def test_without_a_reason_or_of_nothing_nothing_is_done(self, canary: Deployment, operator: str, act: str) -> None:
        before = state_of(canary)
        for body in ({}, {"reason": ""}, {"reason": " "}, {"reason": 5}, {"reason": "x" * 501}):
            refused = call("POST", address(canary, act), operator, body)
            assert refused.status_code == 422 and "reason" in refused.told["errors"], body
        for pk in (canary.pk + 1, 10**30):
            assert call("POST", f"training/rollouts/{pk}/{act}", operator, WHY).status_code == 404
        assert state_of(canary) == before and not RolloutAct.objects.exists()

    @pytest.mark.parametrize("act", ACTS)
    def test_each_act_has_its_permission(self, canary: Deployment, act: str) -> None:
        before = state_of(canary)
        officer, wanted = token_of("Privacy officer"), 200 if act == "abort" else 403
        for role in ("Viewer", "Analyst", "Service"):
            assert call("POST", address(canary, act), token_of(role), WHY).status_code == 403
        assert state_of(canary) == before
        assert call("POST", address(canary, act), officer, WHY).status_code == wanted

    def test_a_repeated_key_acts_once(self, canary: Deployment, operator: str) -> None:
        key = {"Idempotency-Key": "k1"}
        first, second = (call("POST", address(canary, "pause"), operator, WHY, **key) for _ in range(2))
        assert first.status_code == second.status_code == 200 and first.told == second.told
        assert RolloutAct.objects.count() == 1
        assert call("POST", address(canary, "pause"), operator, {"reason": "other"}, **key).status_code == 422

    def test_a_paused_rollout_is_aborted_but_not_approved(self, canary: Deployment, operator: str) -> None:
        rollout_pause(rollout=canary, actor="ann", reason="holidays")
        assert call("POST", address(canary, "approve"), operator, WHY).status_code == 409
        assert call("POST", address(canary, "abort"), operator, WHY).told["state"] == "aborted"


class TestDeployModel:
    """The blueprint's payload, for each strategy that gives people a version."""

    def test_canary(self, loop: LoopVersion, operator: str) -> None:
        version = version_of(loop)
        body = {"versionId": version.name, "deploymentType": "canary", "trafficPercentage": 5}
        made = call("POST", f"training/models/{version.name}/deploy", operator, body).told
        assert (made["deploymentType"], made["status"]) == ("canary", "in_progress")
        assert call("GET", f"training/rollouts/{made['deploymentId']}", operator).told["stages"] == [0.05, 0.2, 0.5]

    def test_ab_test(self, loop: LoopVersion, operator: str) -> None:
        version = version_of(loop)
        body = {"versionId": version.name, "deploymentType": "ab_test", "trafficPercentage": 30}
        made = call("POST", f"training/models/{version.name}/deploy", operator, body).told
        told = call("GET", f"training/rollouts/{made['deploymentId']}", operator).told
        assert (told["strategy"], told["stages"], told["share"]) == ("ab_test", [0.3], 0.3)

    def test_full_rollout(self, loop: LoopVersion, operator: str) -> None:
        version = version_of(loop)
        body = {"versionId": version.name, "deploymentType": "full_rollout", "trafficPercentage": 100}
        made = call("POST", f"training/models/{version.name}/deploy", operator, body).told
        told = call("GET", f"training/rollouts/{made['deploymentId']}", operator).told
        assert (told["state"], told["dueWeeks"], told["share"]) == ("succeeded", None, None)


def _permissions(*names: str) -> Any:
    return Permission.objects.filter(codename__in=names)
