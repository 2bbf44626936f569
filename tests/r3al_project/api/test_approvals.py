"""Through the API: acts that wait for a second operator are answered as such, listed, approved and declined."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from deployments.models import Deployment
from deployments.services.rollouts.operate import rollout_abort
from deployments.services.rollouts.start import rollout_start
from loops.models import LoopVersion
from privacy.models import Approval, Release
from r3al_project.turns.models import Turn
from tests.factories.operators import guarded_loop, operator, outdated_version, waiting_override
from tests.factories.users import token_for, token_of
from tests.factories.versions import ALWAYS_WALK, judged, learned
from tests.r3al_project.api.documented import call

pytestmark = pytest.mark.django_db
STAGED = '[rollout]\nstrategy = "canary"\nstages = [0.2, 0.5]\ndwell_weeks = 2\n'
WHY = {"reason": "I looked at it"}
OVERRIDE = {"deploymentType": "full_rollout", "overrideReason": "I know better"}


@pytest.fixture(autouse=True)
def loop(settings: Any) -> LoopVersion:
    settings.MAX_PRIVACY_EPSILON = 4.0
    call_command("roles")
    return guarded_loop(rollout=STAGED)


def token(name: str, role: str = "Operator") -> str:
    return token_for(User.objects.get(username=operator(name, role).name))


def canary(loop: LoopVersion) -> Deployment:
    version = judged(learned(loop, "policy", ALWAYS_WALK))
    return rollout_start(strategy="canary", version=version, actor="ann", reason="it passed")


def waits(answer: Any, act: str) -> int:
    """The number of the request that an answer names, which says plainly that nothing was done."""
    assert answer.status_code == 202, answer.content
    told: dict[str, Any] = answer.told
    assert (told["state"], told["act"], told["askedBy"], told["decidedBy"]) == ("waiting", act, "ann", None)
    assert answer["Location"] == f"/api/v1/approvals/{told['approvalId']}"
    return int(told["approvalId"])


class TestActsThatWait:
    def test_deploying_with_an_override(self, loop: LoopVersion) -> None:
        version, ann = outdated_version(loop), token("ann")
        number = waits(call("POST", f"training/models/{version.name}/deploy", ann, OVERRIDE), "override")
        assert not Deployment.objects.filter(version=version).exists()
        assert "was judged against" in call("GET", f"approvals/{number}", ann).told["objection"]
        refused = call("POST", f"approvals/{number}/approve", ann, WHY)
        assert refused.status_code == 403 and "yourself" in refused.told["detail"]
        done = call("POST", f"approvals/{number}/approve", token("bert"), WHY).told
        made = Deployment.objects.get(version=version)
        assert (done["state"], done["decidedBy"], done["made"]) == ("approved", "bert", f"deployment {made.pk}")
        assert made.actor == "ann" and done["decisionReason"] == "I looked at it"

    def test_the_same_request_again_and_again_is_one(self, loop: LoopVersion) -> None:
        version, ann = outdated_version(loop), token("ann")
        answers = [
            call("POST", f"training/models/{version.name}/deploy", ann, OVERRIDE, **headers)
            for headers in ({}, {}, {"Idempotency-Key": "k"}, {"Idempotency-Key": "k"})
        ]
        assert len({waits(answer, "override") for answer in answers}) == 1 == Approval.objects.count()

    def test_a_forced_promotion(self, loop: LoopVersion) -> None:
        rollout = canary(loop)
        number = waits(call("POST", f"training/rollouts/{rollout.pk}/promote", token("ann"), WHY), "promotion")
        assert call("POST", f"approvals/{number}/approve", token("bert")).status_code == 200
        assert rollout.version.deployments.latest("pk").reason == "I looked at it; approved by bert"

    def test_a_forced_promotion_of_what_ended(self, loop: LoopVersion) -> None:
        rollout = canary(loop)
        number = waits(call("POST", f"training/rollouts/{rollout.pk}/promote", token("ann"), WHY), "promotion")
        rollout_abort(rollout=rollout, actor="cleo", reason="no time")
        late = call("POST", f"approvals/{number}/approve", token("bert"))
        assert late.status_code == 409 and "no longer applies" in late.told["detail"]
        assert call("GET", f"approvals/{number}", token("bert")).told["state"] == "waiting"

    def test_trying_again_with_an_override(self, loop: LoopVersion) -> None:
        rollout = canary(loop)
        rollout_abort(rollout=rollout, actor="ann", reason="no time")
        judged(rollout.version, "fail", attempt=2, reason="it was worse")
        body = {"reason": "again", "overrideReason": "I know better"}
        waits(call("POST", f"training/rollouts/{rollout.pk}/retry", token("ann"), body), "override")
        assert rollout.version.deployments.count() == 1

    def test_a_turn_with_more_epsilon(self, loop: LoopVersion) -> None:
        ann = token("ann")
        body = {"modelType": "policy", "loop": "care", "privacyEpsilon": 2.0}
        number = waits(call("POST", "training/models", ann, body), "epsilon")
        assert not Turn.objects.exists()
        assert call("POST", f"approvals/{number}/approve", token("bert")).told["made"].startswith("turn ")
        assert Turn.objects.get().parameters["epsilon"] == 2.0

    def test_an_anonymisation_with_more_epsilon(self, loop: LoopVersion) -> None:
        body = {"dataType": "pulse", "technique": "differential_privacy", "privacyEpsilon": 2.0, "loop": "care"}
        waits(call("POST", "training/anonymizations", token("ann", "Privacy officer"), body), "epsilon")
        assert not Release.objects.exists()


class TestDeciding:
    @pytest.fixture
    def number(self, loop: LoopVersion) -> int:
        return waiting_override(outdated_version(loop), operator("ann")).pk

    def test_declined_with_a_reason(self, number: int) -> None:
        bert = token("bert")
        assert call("POST", f"approvals/{number}/decline", bert, {}).status_code == 422
        assert call("POST", f"approvals/{number}/decline", bert, {"reason": "too early"}).told["state"] == "declined"
        late = call("POST", f"approvals/{number}/approve", token("cleo"))
        assert late.status_code == 409 and "declined by bert already" in late.told["detail"]

    def test_approving_twice_is_approving_once(self, number: int) -> None:
        bert = token("bert")
        first, second = (call("POST", f"approvals/{number}/approve", bert) for _ in range(2))
        assert first.told == second.told and Deployment.objects.filter(actor="ann").count() == 1

    def test_a_superuser_is_no_way_around(self, loop: LoopVersion) -> None:
        root = User.objects.create_superuser("root")
        version, mine = outdated_version(loop), token_for(root)
        answer = call("POST", f"training/models/{version.name}/deploy", mine, OVERRIDE)
        assert answer.status_code == 202 and not Deployment.objects.filter(version=version).exists()
        assert call("POST", f"approvals/{answer.told['approvalId']}/approve", token_for(root)).status_code == 403

    @pytest.mark.parametrize("role", ["Analyst", "Viewer", "Service"])
    def test_others_neither_see_nor_decide(self, number: int, role: str) -> None:
        other = token_of(role)
        assert (
            call("GET", "approvals", other).status_code == call("GET", f"approvals/{number}", other).status_code == 403
        )
        assert call("POST", f"approvals/{number}/approve", other, WHY).status_code == 403
        assert Approval.objects.get().state == "waiting"

    def test_an_unknown_one_is_not_found(self, number: int) -> None:
        bert = token("bert")
        for path in ("", "/approve", "/decline"):
            method = "POST" if path else "GET"
            assert call(method, f"approvals/{number + 1}{path}", bert, WHY if path else None).status_code == 404

    def test_they_are_listed_by_state_and_loop(self, number: int) -> None:
        bert = token("bert")
        for query in ("", "?state=waiting", "?loop=care", "?state=waiting&loop=care"):
            assert [row["approvalId"] for row in call("GET", f"approvals{query}", bert).told["results"]] == [number]
        for state in ("approved", "declined", "expired"):
            assert call("GET", f"approvals?state={state}", bert).told["results"] == []
        assert call("GET", "approvals?state=lost", bert).status_code == 422
