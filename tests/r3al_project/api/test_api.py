"""The API of operators, services and people: who may what, what is answered, and that a refusal writes nothing."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from deployments.models import Deployment, HealthCheck, Incident
from deployments.selectors.slots import slot_for
from deployments.services.health.check import health_check
from jobs.leases import claim
from jobs.models import IdempotentAnswer, Job
from jobs.services import job_run
from loops.models import LoopVersion
from loops.services import loop_add
from privacy.models import Consent, Person, PersonAccount
from privacy.services.people.tokens import MOST_DEVICES
from r3al_project.ops.roles import ROLES
from r3al_project.turns.models import Turn, TurnStage
from r3al_project.turns.services import turn_parameters, turn_start
from tests.factories.care import TOML, care_loop
from tests.factories.users import token_of
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, serve, undecided
from tests.r3al_project.api.api_calls import ask
from tests.r3al_project.api.documented import DOCUMENT, call
from tests.races import in_threads
from training.models import ModelMetric, ModelVersion

pytestmark = pytest.mark.django_db
TRAIN = {
    "modelType": "policy", "sourceDataType": "pulse", "epochs": 100, "syntheticSamples": 1000,
    "hyperparams": {"learningRate": 0.001, "gamma": 0.99, "epsilon": 0.1}, "loop": "care",
}  # fmt: skip


@pytest.fixture(autouse=True)
def loop() -> LoopVersion:
    call_command("roles")
    return care_loop()


ENDPOINTS = [
    ("POST", "people", "Service", {"userId": "ann", "loop": "care"}),
    ("GET", "training/models", "Viewer", None),
    ("GET", "training/calibration", "Viewer", None),
    ("POST", "training/models", "Operator", TRAIN),
    ("GET", "training/models/{v}", "Analyst", None),
    ("GET", "training/models/{v}/evaluation", "Viewer", None),
    ("POST", "training/models/{v}/deploy", "Operator", {"deploymentType": "full_rollout", "trafficPercentage": 100}),
    ("GET", "training/models/{v}/health", "Viewer", None),
    ("POST", "training/models/{v}/rollback", "Operator", {"reason": "Empathy score dropped below threshold"}),
    ("POST", "training/models/{v}/rollback/undo", "Operator", {"reason": "The button was broken"}),
    ("GET", "training/rollouts", "Viewer", None),
    ("GET", "training/rollouts/{r}", "Viewer", None),
    ("GET", "training/rollouts/{r}/checks", "Viewer", None),
    *(
        ("POST", f"training/rollouts/{{r}}/{act}", "Operator", {"reason": "because"})
        for act in ("approve", "pause", "resume", "promote", "abort", "retry")
    ),
    ("GET", "approvals", "Operator", None),
    ("GET", "approvals/{r}", "Operator", None),
    *(("POST", f"approvals/{{r}}/{act}", "Operator", {"reason": "because"}) for act in ("approve", "decline")),
    ("GET", "jobs/{j}", "Viewer", None),
    ("POST", "jobs/{j}/cancel", "Operator", None),
    ("POST", "training/anonymizations", "Privacy officer", {"dataType": "pulse", "technique": "generalization"}),
    ("POST", "training/synthetic", "Operator", {"method": "mixture", "sampleCount": 100}),
    ("GET", "training/synthetic", "Viewer", None),
    ("GET", "training/synthetic/{r}", "Viewer", None),
    ("GET", "training/synthetic/{r}/report", "Viewer", None),
    ("GET", "training/synthetic/{r}/rows", "Operator", None),
    ("POST", "privacy/releases/preview", "Privacy officer", {"dataType": "pulse", "technique": "generalization"}),
    ("GET", "privacy/releases", "Analyst", None),
    ("GET", "privacy/budgets", "Analyst", None),
]


@pytest.mark.parametrize(("method", "path", "role", "body"), ENDPOINTS)
def test_without_a_token_or_the_permission_nothing_is_done(
    loop: LoopVersion, method: str, path: str, role: str, body: Any
) -> None:
    version = judged(learned(loop, "policy", ALWAYS_WALK))
    job = Job.objects.create(kind="turn.collect")
    path = path.format(v=f"model_{version.pk}", j=job.pk, r=1)
    assert call(method, path, None, body).status_code == 401
    assert call(method, path, "0" * 64, body).status_code == 401
    wrong = call(method, path, token_of("Viewer" if method == "POST" else "Service"), body)
    assert wrong.status_code == 403 and wrong["Content-Type"] == "application/problem+json"
    assert "role" in wrong.told["detail"]
    job.refresh_from_db()
    assert not Turn.objects.exists() and not Deployment.objects.exists() and not Person.objects.exists()
    assert job.state == "queued"


def test_roles_can_be_made_twice_and_keep_what_was_added() -> None:
    call_command("roles")
    assert set(Group.objects.values_list("name", flat=True)) == set(ROLES)
    operator = {p.codename for p in Group.objects.get(name="Operator").permissions.all()}
    assert {"start_turn", "cancel_job", "deploy_version", "rollback_version", "view_modelversion"} <= operator
    assert "serve_people" not in operator and "view_consent" not in operator
    assert {p.codename for p in Group.objects.get(name="Service").permissions.all()} == {"serve_people"}


class TestTokens:
    def test_log_in_and_out(self) -> None:
        token_of("Viewer")
        wrong = call("POST", "auth/login", None, {"username": "user-Viewer", "password": "no"})
        assert wrong.status_code == 401 and "the user name or the password is wrong" in wrong.told["detail"]
        told = call("POST", "auth/login", None, {"username": "user-Viewer", "password": "a long pass phrase"}).told
        assert call("GET", "training/models", told["token"]).status_code == 200
        assert call("POST", "auth/logout", told["token"]).status_code == 204
        assert call("GET", "training/models", told["token"]).status_code == 401
        assert not AuthToken.objects.filter(digest=told["token"]).exists(), "only a digest is kept"

    def test_all_of_an_account(self) -> None:
        token = token_of("Viewer")
        assert call("POST", "auth/logoutall", token).status_code == 204
        assert call("GET", "training/models", token).status_code == 401


class TestPeople:
    def test_a_service_registers_and_the_device_acts_for_its_person(self) -> None:
        service = token_of("Service")
        body = {"userId": "ann", "loop": "care", "consents": {"personalization": True, "training": True}}
        first = call("POST", "people", service, body)
        assert first.status_code == 201 and first.told["consents"] == {
            "personalization": True, "training": True, "evaluation": False,
        }  # fmt: skip
        again = call("POST", "people", service, body)
        assert again.status_code == 200 and again.told["token"] is None and Person.objects.count() == 1
        device = first.told["token"]
        assert ask(device, "r1").status_code == 200
        nothing = call("PUT", "me/consents", device, {})
        assert nothing.status_code == 422 and "personalization" in nothing.told["detail"], (
            "nothing to change is no withdrawal"
        )
        withdrawn = call("PUT", "me/consents", device, {"personalization": False}).told
        assert withdrawn["personalization"] is False and withdrawn["training"] is True
        assert ask(device, "r2").status_code == 403, "at once"
        assert Consent.objects.count() == 3
        budget = call("GET", "me/privacy-budget", device).told
        assert budget["policyUnits"]["lifetime"] == {"spent": 0.0, "cap": 24.0, "ends": None}
        assert call("GET", "me/consents", service).status_code == 403

    def test_bad_bodies(self) -> None:
        service = token_of("Service")
        for body, status in (({}, 422), ({"userId": ""}, 422), ({"userId": "a", "consents": {"training": "maybe"}}, 422),
                             (b"{", 400), ({"userId": "a", "loop": "nowhere"}, 404)):  # fmt: skip
            refused = call("POST", "people", service, body)
            assert refused.status_code == status and refused["Content-Type"] == "application/problem+json", (
                refused.content
            )
        assert "userId" in call("POST", "people", service, {}).told["errors"]
        assert not Person.objects.exists() and not PersonAccount.objects.exists()


class TestOnePerson:
    """Every door means the same person by the same identifier, and refuses the same ones."""

    def test_is_found_by_every_spelling_at_every_door(self) -> None:
        service = token_of("Service")
        call("POST", "people", service, {"userId": " 12.0 ", "loop": "care", "consents": {"personalization": True}})
        assert call("POST", "people", service, {"userId": "\uff11\uff12", "loop": "care"}).told["new"] is False
        decided = ask(service, "r1", userId="12.0")
        assert decided.status_code == 200 and Person.objects.count() == 1
        at = timezone.now().isoformat()
        signal = {"id": "s1", "type": "pulse", "at": at, "values": {"mood": 0.1}}
        doors: list[tuple[str, dict[str, Any]]] = [
            ("signals", {"signals": [signal], "loop": "care"}),
            (f"optima/decisions/{decided.told['decisionId']}/activate", {}),
            (f"optima/decisions/{decided.told['decisionId']}/rewards", {"rewardId": "w1", "total": 0.1}),
        ]
        for door, body in doors:
            assert call("POST", door, service, body | {"userId": "12"}).status_code in (200, 201), door

    @pytest.mark.parametrize(
        "user_id", [0, 12, 1.5, True, ["a"], {"a": "b"}, "", " ", "a\0b", "a\u200bb", "x" * 201, "1e+15"]
    )
    def test_is_refused_alike_where_the_identifier_is_none(self, user_id: Any) -> None:
        service = token_of("Service")
        call("POST", "people", service, {"userId": "ann", "loop": "care", "consents": {"personalization": True}})
        served = ask(service, "r0", userId="ann").told["decisionId"]
        signal = {"id": "s1", "type": "pulse", "at": timezone.now().isoformat(), "values": {"mood": 0.1}}
        answers = [
            call("POST", "people", service, {"userId": user_id, "loop": "care"}),
            ask(service, "r1", userId=user_id),
            call("POST", "signals", service, {"signals": [signal], "loop": "care", "userId": user_id}),
            call("POST", f"optima/decisions/{served}/activate", service, {"userId": user_id}),
            call(
                "POST",
                f"optima/decisions/{served}/rewards",
                service,
                {"rewardId": "w", "total": 0.1, "userId": user_id},
            ),
        ]
        assert [a.status_code for a in answers] == [422] * 5, [a.content for a in answers]
        assert Person.objects.count() == 1

    def test_an_unknown_caller_learns_nothing_about_an_identifier(self) -> None:
        assert ask("nobody's token", "r1", userId="a\0b").status_code == 401

    def test_loops_share_their_people_unless_they_say_otherwise(self) -> None:
        service, body = token_of("Service"), {"userId": "ann", "consents": {"training": True}}
        text = TOML.replace("RULES", "").replace("DEADLINE", "24h").replace('name = "care"', 'name = "second"')
        loop_add(text=text, source="second.toml")
        loop_add(text=text.replace('"second"', '"staff"\npopulation = "staff"'), source="staff.toml")
        new = [
            call("POST", "people", service, body | {"loop": name}).told["new"] for name in ("care", "second", "staff")
        ]
        assert new == [True, False, True] and Person.objects.count() == 2

    @pytest.mark.parametrize("said", ["true", "yes", "on", 1, 0, 1.0, "", None, []])
    def test_consents_to_nothing_that_is_not_true_or_false(self, said: Any) -> None:
        service, ann = token_of("Service"), {"userId": "ann", "loop": "care"}
        device = call("POST", "people", service, ann).told["token"]
        for method, path, token, body in (
            ("POST", "people", service, ann | {"consents": {"training": said}}),
            ("POST", "people", service, ann | {"device": said}),
            ("PUT", "me/consents", device, {"training": said}),
            ("POST", "me/erasure", device, {"confirm": said}),
        ):
            assert call(method, path, token, body).status_code == 422, (path, body)
        assert (
            not Consent.objects.exists() and AuthToken.objects.filter(user__person_account__isnull=False).count() == 1
        )


class TestWithdrawal:
    ANN: dict[str, Any] = {"userId": "ann", "loop": "care", "consents": {"personalization": True, "training": True}}

    def test_closes_every_door_at_once(self) -> None:
        device = call("POST", "people", token_of("Service"), self.ANN).told["token"]
        served = ask(device, "r1").told["decisionId"]
        call("PUT", "me/consents", device, {"personalization": False})
        signal = {"id": "s1", "type": "pulse", "at": timezone.now().isoformat(), "values": {"mood": 0.1}}
        answers = [
            ask(device, "r2"),
            ask(device, "r1"),  # a retry
            call("POST", "signals", device, {"signals": [signal], "loop": "care"}),
            call("POST", f"optima/decisions/{served}/activate", device, {}),
            call("POST", f"optima/decisions/{served}/rewards", device, {"rewardId": "w1", "total": 0.1}),
        ]
        assert [a.status_code for a in answers] == [403] * 5
        assert all("not consented to personalization" in a.told["detail"] for a in answers)

    def test_stands_when_a_service_registers_the_person_again(self) -> None:
        service = token_of("Service")
        device = call("POST", "people", service, self.ANN).told["token"]
        call("PUT", "me/consents", device, {"training": False})
        for text in ("1", "2"):
            again = call("POST", "people", service, self.ANN | {"textVersion": text}).told["consents"]
            assert again == {"personalization": True, "training": False, "evaluation": False}
        assert call("PUT", "me/consents", device, {"training": True}).told["training"] is True

    def test_an_erasure_stands_when_a_service_registers_the_person_again(self) -> None:
        service = token_of("Service")
        device = call("POST", "people", service, self.ANN).told["token"]
        call("POST", "me/erasure", device, {"confirm": True})
        again = call("POST", "people", service, self.ANN).told
        assert again["new"] is True and not any(again["consents"].values())
        assert call("PUT", "me/consents", again["token"], {"training": True}).told["training"] is True


def test_a_person_has_at_most_ten_devices_and_the_oldest_tokens_end() -> None:
    service, body = token_of("Service"), {"userId": "ann", "loop": "care", "device": True}
    tokens = [call("POST", "people", service, body).told["token"] for _ in range(MOST_DEVICES + 2)]
    works = [call("GET", "me/consents", token).status_code for token in tokens]
    assert works == [401, 401] + [200] * MOST_DEVICES


def test_a_service_reads_of_a_person_nothing_itself_and_everything_as_a_further_device() -> None:
    """The threat model says so: a service is trusted like the app's backend, which knows who its people are."""
    service, body = token_of("Service"), {"userId": "ann", "loop": "care"}
    call("POST", "people", service, body)
    assert call("GET", "me/export", service).status_code == 403
    device = call("POST", "people", service, body | {"device": True}).told["token"]
    assert call("GET", "me/export", device).status_code == 200


class TestTraining:
    def test_the_blueprints_payload_begins_a_turn_that_can_be_watched_and_cancelled(self) -> None:
        operator = token_of("Operator")
        begun = call("POST", "training/models", operator, TRAIN)
        assert begun.status_code == 202 and begun["Location"] == f"/api/v1/jobs/{begun.told['jobId']}"
        turn = Turn.objects.get()
        assert turn.parameters["head"] == "policy" and turn.parameters["requested"]["epochs"] == 100
        assert turn.parameters["requested"]["hyperparams"]["gamma"] == 0.99
        told = call("GET", f"jobs/{begun.told['jobId']}", operator).told
        assert (told["status"], told["stage"], told["progress"]) == ("queued", "collect", 0.0)
        assert call("POST", "training/models", operator, TRAIN).status_code == 409, "one turn of a loop at a time"
        ended = call("POST", f"jobs/{begun.told['jobId']}/cancel", operator)
        assert (
            ended.status_code == 202
            and ended.told["outcome"] == "cancelled" == ended.told["status"]
            and "cancelled by" in ended.told["reason"]
        )
        again = call("POST", f"jobs/{begun.told['jobId']}/cancel", operator)
        assert again.status_code == 409 and "is over (cancelled)" in again.told["detail"]

    def test_by_any_of_its_jobs_a_turn_is_cancelled_where_it_is(self, loop: LoopVersion) -> None:
        operator, turn = token_of("Operator"), turn_start(actor="ann", loop_version=loop, parameters=turn_parameters())
        first = turn.stages.get().job_id
        job_run(first)
        held = claim(turn.stages.get(name="release").job_id)
        told = call("POST", f"jobs/{first}/cancel", operator)
        assert told.status_code == 202 and (told.told["status"], told.told["cancelRequested"]) == ("running", True)
        held.refresh_from_db()  # type: ignore[union-attr]
        assert held is not None and held.cancel_requested

    def test_a_job_of_no_turn(self) -> None:
        operator, job = token_of("Operator"), Job.objects.create(kind="turn.collect")
        told = call("POST", f"jobs/{job.pk}/cancel", operator)
        assert told.status_code == 202 and (told.told["status"], told.told["cancelRequested"]) == ("cancelled", True)
        again = call("POST", f"jobs/{job.pk}/cancel", operator)
        assert again.status_code == 409 and "is over (cancelled)" in again.told["detail"]

    @pytest.mark.django_db(transaction=True)
    def test_of_many_operators_at_once_one_begins_a_turn_of_the_loop(self) -> None:
        operator = token_of("Operator")
        care_loop(version=2)  # a newer version of the loop changes nothing about that

        answers = in_threads(lambda _: call("POST", "training/models", operator, TRAIN), range(24), threads=8)
        assert [a.status_code for a in answers].count(202) == 1 and {a.status_code for a in answers} == {202, 409}
        refused = [a for a in answers if a.status_code == 409]
        assert all(a["Content-Type"] == "application/problem+json" for a in refused)
        assert all("is still running; wait for it" in a.told["detail"] for a in refused)
        assert Turn.objects.count() == TurnStage.objects.count() == Job.objects.count() == 1

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"modelType": "mind"}, "modelType"), ({"epochs": 0}, "epochs"), ({"epochs": "many"}, "epochs"),
            ({"syntheticSamples": 10**9}, "syntheticSamples"), ({"hyperparams": {"gamma": 1.5}}, "hyperparams.gamma"),
            ({"hyperparams": {"epsilon": 1.01}}, "hyperparams.epsilon"),
            ({"hyperparams": {"epsilon": -0.01}}, "hyperparams.epsilon"),
            ({"hyperparams": {"epsilonn": 0.1}}, "hyperparams.epsilonn"), ({"modeltype": "policy"}, "modeltype"),
        ],
    )  # fmt: skip
    def test_bad_values_are_named(self, change: dict[str, Any], field: str) -> None:
        refused = call("POST", "training/models", token_of("Operator"), TRAIN | change)
        assert refused.status_code == 422 and field in refused.told["errors"] and not Turn.objects.exists()

    def test_what_is_done_otherwise_than_asked_is_said(self) -> None:
        operator, few = token_of("Operator"), TRAIN | {"syntheticSamples": 50, "hyperparams": {"batchSize": 64}}
        told = call("POST", "training/models", operator, few).told
        assert told["notes"][0].startswith("syntheticSamples was raised from 50 to 200")
        assert told["notes"][1].startswith("batchSize: stored with the turn but not used")
        asked = Turn.objects.get().parameters["requested"]
        assert asked["syntheticSamples"] == 200 and asked["hyperparams"] == {"batchSize": 64}, "nothing is made up"

    def test_nothing_is_said_where_all_is_done_as_asked(self) -> None:
        body = {"modelType": "policy", "loop": "care", "syntheticSamples": 500, "hyperparams": {"epsilon": 0.3}}
        assert call("POST", "training/models", token_of("Operator"), body).told["notes"] == []

    def test_heads_and_epsilons_that_are_not_to_be_had(self) -> None:
        operator = token_of("Operator")
        assert (
            "has no head 'timing'"
            in call("POST", "training/models", operator, TRAIN | {"modelType": "timing"}).told["detail"]
        )
        assert (
            "above the most" in call("POST", "training/models", operator, TRAIN | {"privacyEpsilon": 9}).told["detail"]
        )
        assert not Turn.objects.exists()

    def test_lists_by_status_and_type(self, loop: LoopVersion) -> None:
        viewer = token_of("Viewer")
        one, tone = learned(loop, "policy", ALWAYS_WALK), learned(loop, "tone", [[0.0] * 4] * 2)
        serve(one)
        told = call("GET", "training/models?status=deployed&modelType=policy", viewer).told
        assert {v["versionId"] for v in told["results"] if v["kind"] == "linear_q"} == {f"model_{one.pk}"}
        assert (
            call("GET", "training/models?modelType=tone&status=evaluating", viewer).told["results"][0]["number"]
            == tone.number
        )
        for wrong in ("status=lost", "modelType=mind", "modeltype=tone", "before=0", "pageSize=1000"):
            refused = call("GET", f"training/models?{wrong}", viewer)
            assert refused.status_code == 422 and wrong.partition("=")[0] in refused.told["errors"]
        unknown = call("GET", "privacy/releases?technique=lost", token_of("Analyst"))
        assert unknown.status_code == 422 and "k_anonymity" in unknown.told["errors"]["technique"][0]
        assert call("GET", "training/models/model_999", viewer).status_code == 404
        assert call("GET", "training/models/mine", viewer).status_code == 404


class TestDeploying:
    def test_what_passed_is_deployed_watched_and_taken_back(self, loop: LoopVersion) -> None:
        operator = token_of("Operator")
        version = judged(learned(loop, "policy", ALWAYS_WALK))
        name = f"model_{version.pk}"
        assert call("GET", f"training/models/{name}/evaluation", operator).told["passed"] is True
        body = {"versionId": name, "deploymentType": "full_rollout", "trafficPercentage": 100}
        assert call("POST", f"training/models/{name}/deploy", operator, body).told["status"] == "succeeded"
        assert slot_for(loop.loop, "policy").stable == version
        assert call("GET", f"training/models/{name}/health", operator).status_code == 404
        HealthCheck.objects.create(
            slot=slot_for(loop.loop, "policy"), version=version, generation=2, state="healthy", metrics=[]
        )
        assert call("GET", f"training/models/{name}/health", operator).told["status"] == "healthy"
        reason = {"versionId": name, "reason": "Empathy score dropped below threshold"}
        assert call("POST", f"training/models/{name}/rollback", operator, reason).told["status"] == "rolled_back"
        assert Incident.objects.get().reason == reason["reason"]
        assert call("POST", f"training/models/{name}/rollback", operator, reason).status_code == 409
        assert "errors" in call("POST", f"training/models/{name}/rollback", operator, {}).told
        undone = {"reason": "The button was broken"}
        assert call("POST", f"training/models/{name}/rollback/undo", operator, undone).told["status"] == "succeeded"
        assert slot_for(loop.loop, "policy").stable == version
        assert call("POST", f"training/models/{name}/rollback/undo", operator, undone).status_code == 409

    def test_an_undecided_version_is_tried_and_its_trial_is_stopped(self, loop: LoopVersion) -> None:
        operator = token_of("Operator")
        version = undecided(learned(loop, "policy", ALWAYS_WALK))
        url = f"training/models/{version.name}"
        assert call("POST", f"{url}/deploy", operator, {"deploymentType": "trial"}).told["status"] == "in_progress"
        assert slot_for(loop.loop, "policy").candidate == version
        stopped = call("POST", f"{url}/rollback", operator, {"reason": "people frown"})
        assert stopped.told["serving"] == slot_for(loop.loop, "policy").stable.name
        assert call("POST", f"{url}/rollback/undo", operator, {"reason": "no"}).status_code == 409

    def test_what_too_few_people_or_requests_say_is_marked_as_such(self, loop: LoopVersion) -> None:
        viewer = token_of("Viewer")
        version = judged(learned(loop, "policy", ALWAYS_WALK), "insufficient")
        for name, value, low in (("empathy", 1.0, 0.0), ("false_intervention", 0.1, 0.02)):
            ModelMetric.objects.create(
                version=version,
                source="outcome_gate",
                name=name,
                value=value,
                low=low,
                high=1.0,
                verdict="insufficient",
            )
        told = call("GET", f"training/models/{version.name}/evaluation", viewer).told["metrics"]
        assert [(m["tooFew"], m["value"]) for m in told] == [(True, None), (False, 0.1)]
        serve(version)
        health_check(slot=slot_for(loop.loop, "policy"))
        look = call("GET", f"training/models/{version.name}/health", viewer).told
        assert look["status"] == "healthy" and look["enoughSeen"] is False

    def test_what_failed_or_was_not_asked_stays_where_it_is(self, loop: LoopVersion) -> None:
        operator = token_of("Operator")
        failed, unasked = judged(learned(loop, "policy", ALWAYS_WALK), "fail"), learned(loop, "policy", ALWAYS_WALK)
        for version, words in ((failed, "people said so"), (unasked, "was not evaluated")):
            refused = call("POST", f"training/models/{version.pk}/deploy", operator, {})
            assert refused.status_code == 409 and words in refused.told["detail"]
        canary = call("POST", f"training/models/{failed.pk}/deploy", operator, {"deploymentType": "canary"})
        assert canary.status_code == 409 and "people said so" in canary.told["detail"]
        assert not Deployment.objects.exists()

    @pytest.mark.parametrize("act", ["deploy", "rollback"])
    def test_a_body_that_names_another_version_is_refused(self, loop: LoopVersion, act: str) -> None:
        operator, version = token_of("Operator"), judged(learned(loop, "policy", ALWAYS_WALK))
        body = {"versionId": f"model_{version.pk + 1}"} | ({"reason": "r"} if act == "rollback" else {})
        refused = call("POST", f"training/models/model_{version.pk}/{act}", operator, body)
        assert refused.status_code == 422 and f"the address names model_{version.pk}" in refused.told["detail"]
        assert not Deployment.objects.exists()
        same = {"versionId": str(version.pk)} | ({"reason": "r"} if act == "rollback" else {})
        assert call("POST", f"training/models/model_{version.pk}/{act}", operator, same).status_code in (200, 409)

    def test_what_was_judged_against_something_else_takes_a_reason_and_a_permission(self, loop: LoopVersion) -> None:
        operator, everybody = token_of("Operator"), {"deploymentType": "full_rollout"}
        old, new = (judged(learned(loop, "policy", ALWAYS_WALK)) for _ in range(2))
        assert call("POST", f"training/models/{new.pk}/deploy", operator, everybody).status_code == 200
        refused = call("POST", f"training/models/{old.pk}/deploy", operator, everybody)
        assert refused.status_code == 409 and "was judged against the reference, but" in refused.told["detail"]
        why = everybody | {"overrideReason": "the newer one is slow"}
        Group.objects.get(name="Operator").permissions.remove(Permission.objects.get(codename="override_comparison"))
        assert call("POST", f"training/models/{old.pk}/deploy", operator, why).status_code == 403
        assert slot_for(loop.loop, "policy").stable == new
        call_command("roles")
        assert call("POST", f"training/models/{old.pk}/deploy", operator, why).status_code == 200
        assert slot_for(loop.loop, "policy").stable == old
        assert "because the newer one is slow" in Deployment.objects.latest("pk").reason
        assert call("POST", f"training/models/{new.pk}/deploy", operator, why).status_code == 409, "it is archived"

    @pytest.mark.django_db(transaction=True)
    def test_of_two_operators_at_once_one_wins(self, loop: LoopVersion) -> None:
        operator = token_of("Operator")
        versions = [judged(learned(loop, "policy", w)) for w in (ALWAYS_WALK, TALK_IN_A_GOOD_MOOD)] * 2
        full = {"deploymentType": "full_rollout"}

        def deploy(version: ModelVersion) -> int:
            return int(call("POST", f"training/models/{version.pk}/deploy", operator, full).status_code)

        codes = in_threads(deploy, versions, threads=4)
        assert set(codes) <= {200, 409} and codes.count(200) == Deployment.objects.count() >= 1
        assert ModelVersion.objects.filter(state="deployed", kind="linear_q").count() == 1


class TestIdempotency:
    def test_the_same_key_does_it_once(self) -> None:
        operator = token_of("Operator")
        first = call("POST", "training/models", operator, TRAIN, **{"Idempotency-Key": "k1"})
        again = call("POST", "training/models", operator, TRAIN, **{"Idempotency-Key": "k1"})
        assert first.status_code == again.status_code == 202 and first.told == again.told
        assert again["Location"] == first["Location"] and Turn.objects.count() == 1
        other = call("POST", "training/models", operator, TRAIN | {"epochs": 5}, **{"Idempotency-Key": "k1"})
        assert other.status_code == 422 and other.told["type"] == "urn:r3al:problem:key-reused"

    def test_a_refusal_is_not_kept(self) -> None:
        operator = token_of("Operator")
        refused = call("POST", "training/models", operator, TRAIN | {"loop": "nowhere"}, **{"Idempotency-Key": "k1"})
        assert refused.status_code == 404 and not IdempotentAnswer.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_of_two_at_once_one_does_it_and_both_get_its_answer(self) -> None:
        operator = token_of("Operator")

        def post(_: int) -> Any:
            return call("POST", "training/models", operator, TRAIN, **{"Idempotency-Key": "k1"})

        answers = in_threads(post, range(4), threads=4)
        assert {a.status_code for a in answers} == {202} and all(a.told == answers[0].told for a in answers)
        assert Turn.objects.count() == Job.objects.count() == 1

    def test_what_is_kept_says_nothing_that_anybody_could_use(self) -> None:
        service, body = token_of("Service"), {"userId": "ann", "loop": "care", "consents": {"training": True}}
        told = call("POST", "people", service, body, **{"Idempotency-Key": "k1"}).told
        kept = IdempotentAnswer.objects.values().get()
        assert kept["answer"] == {"new": True, "consents": told["consents"]} and told["token"] not in str(kept)
        guesses = [json.dumps(body, sort_keys=True), f"POST /api/v1/people\0{json.dumps(body, sort_keys=True)}"]
        assert kept["request_digest"] not in [hashlib.sha256(guess.encode()).hexdigest() for guess in guesses]

    def test_a_retry_of_a_registration_gets_a_token_that_works_and_the_lost_one_does_not(self) -> None:
        service, body = token_of("Service"), {"userId": "ann", "loop": "care", "consents": {"personalization": True}}
        lost = call("POST", "people", service, body, **{"Idempotency-Key": "k1"})
        again = call("POST", "people", service, body, **{"Idempotency-Key": "k1"})
        third = call("POST", "people", service, body, **{"Idempotency-Key": "k1"})
        assert lost.status_code == again.status_code == third.status_code == 201 and Person.objects.count() == 1
        assert all(a.told["new"] and a.told["consents"] == lost.told["consents"] for a in (again, third))
        codes = [call("GET", "me/consents", a.told["token"]).status_code for a in (lost, again, third)]
        assert codes == [401, 401, 200] and AuthToken.objects.filter(user__person_account__isnull=False).count() == 1
        assert ask(third.told["token"], "r1").status_code == 200 and third.told["expiry"]

    def test_a_retry_of_one_that_showed_no_token_shows_none(self) -> None:
        service, body = token_of("Service"), {"userId": "ann", "loop": "care"}
        token = call("POST", "people", service, body).told["token"]
        for _ in range(2):
            known = call("POST", "people", service, body, **{"Idempotency-Key": "k1"})
            assert known.status_code == 200 and known.told["token"] is None
        assert call("GET", "me/consents", token).status_code == 200

    @pytest.mark.django_db(transaction=True)
    def test_of_retries_at_once_exactly_one_token_is_left(self) -> None:
        service, body = token_of("Service"), {"userId": "ann", "loop": "care"}

        def post(_: int) -> Any:
            return call("POST", "people", service, body, **{"Idempotency-Key": "k1"})

        answers = in_threads(post, range(4), threads=4)
        assert {a.status_code for a in answers} == {201}
        works = [call("GET", "me/consents", a.told["token"]).status_code for a in answers]
        assert sorted(works) == [200, 401, 401, 401] and PersonAccount.objects.count() == 1

    def test_with_somebody_who_is_erased_it_goes(self) -> None:
        service, body = token_of("Service"), {"userId": "ann", "loop": "care"}
        told = call("POST", "people", service, body, **{"Idempotency-Key": "k1"}).told
        assert call("POST", "me/erasure", told["token"], {"confirm": True}).status_code == 200
        assert not IdempotentAnswer.objects.exists()

    def test_after_a_day_it_is_forgotten(self) -> None:
        operator = token_of("Operator")
        call("POST", "training/models", operator, TRAIN, **{"Idempotency-Key": "k1"})
        out = StringIO()
        call_command("expire", stdout=out)
        assert "0 answers stored" in out.getvalue() and IdempotentAnswer.objects.count() == 1
        IdempotentAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
        call_command("expire", stdout=out)
        assert "1 answers stored" in out.getvalue() and not IdempotentAnswer.objects.exists()


def test_the_schema_and_its_page_are_there() -> None:
    schema = Client().get("/api/schema/")
    assert schema.status_code == 200 and b"/api/v1/training/models" in schema.content
    page = Client().get("/api/docs/")
    assert page.status_code == 200 and b"cdn" not in page.content


def test_the_committed_schema_is_the_one_in_force(tmp_path: Path) -> None:
    """After a change of the API: manage.py spectacular --file docs/openapi.yaml"""
    call_command("spectacular", file=str(tmp_path / "now.yaml"))
    assert (tmp_path / "now.yaml").read_text() == DOCUMENT.read_text()
