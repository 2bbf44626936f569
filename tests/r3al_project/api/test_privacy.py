"""The privacy floor through the API: the blueprint's anonymizeData, the log, previews; a person's own view and erasure."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.utils import timezone

from deployments.models import EvidenceUnit
from deployments.selectors.slots import slot_for
from jobs.models import IdempotentAnswer, Job
from jobs.services import job_run
from loops.models import LoopVersion
from privacy.models import Consent, Decision, LedgerEntry, Person, PersonAccount, PrivacyBudget, Purpose, Release
from privacy.services.people.consent import consent_grant
from privacy.services.people.identity import people_get_or_create
from tests.factories.care import care_loop, person
from tests.factories.decisions import decision
from tests.factories.users import token_of
from tests.r3al_project.api.api_calls import ask
from tests.r3al_project.api.documented import call
from tests.stack import Stack, Worker

pytestmark = pytest.mark.django_db
BLUEPRINT = {"dataType": "pulse", "technique": "differential_privacy", "privacyEpsilon": 0.5, "sampleCount": 100}
PEOPLE = 60


@pytest.fixture
def loop(settings: Any) -> LoopVersion:
    settings.MIN_COHORT = 10
    call_command("roles")
    version = care_loop()
    ids = people_get_or_create(population="people", identifiers=[f"p{i}" for i in range(PEOPLE)])
    consent_grant(person_ids=list(ids.values()), purposes=[Purpose.TRAINING], source="test")
    now, width = timezone.now(), len(version.spec.features)
    Decision.objects.bulk_create(decision(version, pk, np.zeros(width), now) for pk in ids.values())
    return version


def anonymize(token: str, **more: Any) -> Any:
    headers = {"Idempotency-Key": more.pop("key")} if "key" in more else {}
    return call("POST", "training/anonymizations", token, BLUEPRINT | {"loop": "care"} | more, **headers)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is there at once: the job runs where the request would wait for it."""

    def awaited(job: Job, *, seconds: float) -> Job:
        job_run(job.pk)
        return Job.objects.get(pk=job.pk)

    monkeypatch.setattr("r3al_project.api.privacy.job_awaited", awaited)


class TestInAWorker:
    def test_a_real_one_answers_within_the_wait(self, loop: LoopVersion, worker: Worker) -> None:
        worker.wait_until(lambda: worker.is_running)
        answer = anonymize(token_of("Privacy officer"))
        told = answer.told
        if answer.status_code == 202:  # the worker was not up within ten seconds
            worker.wait_until(lambda: Job.objects.get(pk=told["jobId"]).is_over)
            told = call("GET", f"privacy/releases/{told['releaseId']}", token_of("Analyst")).told
        assert told["state"] == "committed" and set(told["statistics"]["columns"]) == {"mood", "place", "gap"}

    def test_what_takes_longer_is_told_where_to_look(self, loop: LoopVersion, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("r3al_project.api.privacy._WAIT_SECONDS", 0.1)
        token = token_of("Privacy officer")
        answer = anonymize(token, key="mine")
        told = answer.told
        assert answer.status_code == 202 and answer["Location"] == f"/api/v1/jobs/{told['jobId']}"
        assert told["status"] == "queued" and told["idempotencyKey"] == "mine"
        assert call("GET", f"jobs/{told['jobId']}", token).told["status"] == "queued"
        reserved = call("GET", told["releaseUrl"].removeprefix("/api/v1/"), token).told
        assert reserved["state"] == "reserved" and "statistics" not in reserved
        job_run(told["jobId"])
        done = call("GET", told["releaseUrl"].removeprefix("/api/v1/"), token).told
        assert done["state"] == "committed" and done["statistics"]["columns"]
        again = anonymize(token, key="mine")
        assert again.status_code == 201 and again.told["releaseId"] == told["releaseId"]

    def test_what_cannot_be_computed_says_why_and_charges_nobody(self, loop: LoopVersion, at_once: None) -> None:
        answer = anonymize(
            token_of("Privacy officer"),
            technique="k_anonymity",
            diversity=2,
            sensitive="place",
            fields=["mood", "place"],
        )
        assert answer.status_code == 409 and "diversity is 2" in answer.told["detail"]
        assert Release.objects.get().state == "refunded"
        assert not PrivacyBudget.objects.filter(spent_lifetime__gt=0).exists()

    def test_a_cancelled_job_gives_the_charge_back_at_the_next_sweep(
        self, loop: LoopVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("r3al_project.api.privacy._WAIT_SECONDS", 0.1)
        token = token_of("Privacy officer")
        told = anonymize(token).told
        assert call("POST", f"jobs/{told['jobId']}/cancel", token).status_code == 202
        call_command("expire")
        assert Release.objects.get().state == "refunded"
        assert not PrivacyBudget.objects.filter(spent_lifetime__gt=0).exists()

    @pytest.mark.django_db(transaction=True)
    def test_the_web_process_loads_no_sampler(self, loop: LoopVersion, stack: Stack) -> None:
        script = (
            "import sys, django; django.setup(); from django.conf import settings; settings.ALLOWED_HOSTS = ['*']\n"
            "settings.MIN_COHORT = 10; settings.HTTPS = settings.SECURE_SSL_REDIRECT = False\n"
            "import r3al_project.wsgi, r3al_project.api.privacy as api; api._WAIT_SECONDS = 0.1\n"
            "from django.test import Client\n"
            f"sent = Client().post('/api/v1/training/anonymizations', {BLUEPRINT | {'loop': 'care'}!r},\n"
            f"  content_type='application/json', headers={{'Authorization': 'Token {token_of('Privacy officer')}'}})\n"
            "print(sent.status_code, [n for n in ('opendp', 'scipy') if n in sys.modules])"
        )
        run = subprocess.run(
            [sys.executable, "-c", script], env={**stack.environment(), "DJANGO_SETTINGS_MODULE": "tests.settings"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert run.stdout.splitlines()[-1:] == ["202 []"], run.stderr + run.stdout


@pytest.mark.usefixtures("at_once")
class TestAnonymizations:
    def test_the_blueprints_payload_gives_statistics_and_the_log_row(self, loop: LoopVersion) -> None:
        answer = anonymize(token_of("Privacy officer"))
        assert answer.status_code == 201, answer.told
        told = answer.told
        assert told["policyCost"] == 0.5 == told["formalEpsilon"] and told["state"] == "committed"
        assert set(told["statistics"]["columns"]) == {"mood", "place", "gap"}
        assert LedgerEntry.objects.filter(release=told["releaseId"]).count() <= PEOPLE

    @pytest.mark.parametrize(
        ("technique", "cost"), [("k_anonymity", 0.3), ("pseudonymization", 0.1), ("generalization", 0.2)]
    )
    def test_the_other_techniques_give_rows_and_no_epsilon(
        self, loop: LoopVersion, technique: str, cost: float
    ) -> None:
        token = token_of("Privacy officer")
        told = anonymize(token, technique=technique, fields=["mood", "place"]).told
        assert told["policyCost"] == cost and told["formalEpsilon"] is None and told["rho"] is None
        rows = call_text(told["rowsUrl"], token)
        assert len(rows) == LedgerEntry.objects.count() and {"mood", "place"} <= set(rows[0])

    def test_a_retry_charges_nothing_more(self, loop: LoopVersion) -> None:
        token = token_of("Privacy officer")
        first, again = (anonymize(token, key="k", mode="local") for _ in range(2))
        assert first.told["releaseId"] == again.told["releaseId"] and first.told["csv"] == again.told["csv"]
        assert Release.objects.count() == 1

    @pytest.mark.parametrize(
        "other",
        [{"privacyEpsilon": 0.4}, {"delta": 1e-7}, {"k": 7}, {"mode": "central"}, {"fields": ["mood"]}, {"rowsPerPerson": 2},
         {"technique": "generalization"}, {"dataType": "categorical"}, {"sampleCount": 30}],
    )  # fmt: skip
    def test_the_same_key_with_another_body_does_nothing(self, loop: LoopVersion, other: dict[str, Any]) -> None:
        token, first = token_of("Privacy officer"), {"mode": "local", "fields": ["mood", "place"]}
        assert anonymize(token, key="k", **first).status_code == 201
        again = anonymize(token, key="k", **first | other)
        assert again.status_code == 422 and again.told["type"] == "urn:r3al:problem:key-reused", again.told
        IdempotentAnswer.objects.all().delete()  # as a day later: the release still knows what it depends on
        assert anonymize(token, key="k", **first).status_code == 201
        assert Release.objects.count() == 1

    @pytest.mark.parametrize(
        "wrong",
        [
            {"privacyEpsilon": 0}, {"privacyEpsilon": -1}, {"privacyEpsilon": 2}, {"privacyEpsilon": "NaN"},
            {"technique": "magic"}, {"dataType": "dreams"}, {"sampleCount": 0}, {"fields": ["weight"]},
            {"technique": "k_anonymity", "k": 1_000}, {"loop": "none"}, {"privacyepsilon": 0.1}, {"epsilon": 0.1},
            {"privacyEpsilon": True}, {"delta": True}, {"delta": 0.3}, {"sampleCount": True}, {"privacyEpsilon": None},
        ],
    )  # fmt: skip
    def test_bad_input_is_a_problem_document_and_charges_nobody(self, loop: LoopVersion, wrong: dict[str, Any]) -> None:
        answer = anonymize(token_of("Privacy officer"), **wrong)
        assert answer.status_code in (400, 404, 422) and answer["Content-Type"] == "application/problem+json"
        assert not PrivacyBudget.objects.filter(spent_lifetime__gt=0).exists()

    def test_a_preview_counts_nobody_and_the_budgets_are_rounded_counts(self, loop: LoopVersion) -> None:
        token = token_of("Privacy officer")
        told = call("POST", "privacy/releases/preview", token, BLUEPRINT | {"loop": "care"}).told
        assert told["policyCost"] == 0.5 and told["people"] is None and not Release.objects.exists()
        budgets = call("GET", "privacy/budgets", token).told
        assert budgets["people"] == PEOPLE and budgets["windows"]["lifetime"]["untouched"] == PEOPLE

    def test_the_log_is_listed_and_filtered(self, loop: LoopVersion) -> None:
        token = token_of("Privacy officer")
        made = [anonymize(token, technique=t).told["releaseId"] for t in ("generalization", "pseudonymization")]
        listed = call("GET", "privacy/releases", token).told
        assert [r["releaseId"] for r in listed["results"]] == made[::-1]
        one = call("GET", "privacy/releases?technique=generalization", token).told["results"]
        assert [r["releaseId"] for r in one] == made[:1]
        assert call("GET", f"privacy/releases/{made[0]}", token).told["technique"] == "generalization"
        assert call("GET", "privacy/releases/4711", token).status_code == 404


def call_text(url: str, token: str) -> list[dict[str, str]]:
    from django.test import Client

    response = Client().get(url, headers={"Authorization": f"Token {token}"})
    assert response.status_code == 200 and response["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(response.content.decode())))


class TestMe:
    def test_i_see_my_budget_my_events_and_everything_kept(self, loop: LoopVersion) -> None:
        pk, token = person("ann")
        assert ask(token, "r1").status_code == 200
        assert call("GET", "me/privacy-budget", token).told["formal"]["epsilon"] == 0.0
        events = call("GET", "me/vault", token).told["results"]
        granted = [(e["kind"], e["what"]["purpose"], e["what"]["granted"]) for e in reversed(events)]
        assert granted == [
            ("consent", p.value, True) for p in (Purpose.PERSONALIZATION, Purpose.TRAINING, Purpose.EVALUATION)
        ]
        serving, now = slot_for(loop.loop, "policy"), timezone.now()
        EvidenceUnit.objects.create(
            slot=serving,
            version=serving.stable,
            data_key_id=pk,
            epoch=1,
            first_exposed_at=now,
            closes_at=now,
            decisions=3,
        )
        told = call("GET", "me/export", token).told
        assert [(e["head"], e["decisions"]) for e in told["evidence"]] == [("policy", 3)]
        assert len(told["decisions"]) == 1 and told["decisions"][0]["state"]["mood"] == 0.25 and told["models"] == []

    def test_i_can_be_erased_and_then_my_token_is_nobodys(self, loop: LoopVersion) -> None:
        pk, token = person("ann")
        ask(token, "r1")
        assert call("POST", "me/erasure", token, {"confirm": False}).status_code == 422
        told = call("POST", "me/erasure", token, {"confirm": True}).told
        assert told["erased"]["decisions"] == 1
        assert Person.objects.get(pk=pk).erased_at is not None and not PersonAccount.objects.exists()
        assert call("GET", "me/export", token).status_code == 401

    def test_withdrawing_training_lists_the_models(self, loop: LoopVersion) -> None:
        _, token = person("ann")
        told = call("PUT", "me/consents", token, {"training": False}).told
        assert told["training"] is False and told["affectedModels"] == []

    def test_my_no_to_what_i_never_granted_is_kept_once_however_often_my_device_says_it(
        self, loop: LoopVersion
    ) -> None:
        pk, token = person("ann", consents=(Purpose.PERSONALIZATION,))
        service = token_of("Service")
        for _ in range(3):
            call("PUT", "me/consents", token, {"personalization": True, "training": False})
            report = {"userId": "ann", "loop": "care", "consents": {"training": True}, "textVersion": "2"}
            assert call("POST", "people", service, report).told["consents"]["training"] is False
        acts = Consent.objects.filter(person=pk).order_by("id").values_list("purpose", "granted", "source")
        assert list(acts)[1:] == [("training", False, "app"), ("personalization", True, "app")]

    def test_an_operator_is_no_person(self, loop: LoopVersion) -> None:
        token = token_of("Operator")
        for method, path in (("GET", "me/export"), ("GET", "me/vault"), ("POST", "me/erasure")):
            assert call(method, path, token, {"confirm": True} if method == "POST" else None).status_code == 403
