"""The blueprint's generateSynthetic through the API: started, followed, read, refused and repeated."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from jobs.models import IdempotentAnswer, Job
from jobs.services import job_run
from loops.models import LoopVersion
from privacy.models import Release
from tests.factories.anonymize import GROUPS, make_world, run
from tests.factories.synthetic import marginals_released
from tests.factories.users import token_of
from tests.r3al_project.api.documented import call
from tests.races import in_threads
from tests.stack import Worker
from training.models import SyntheticJob, TrainingDataPool

BODY = {
    "method": "mixture",
    "sampleCount": 500,
    "sourceDataCount": 50,
    "qualityThreshold": 0.7,
}  # verbatim but the method
FEW = {"sampleCount": 10, "sourceDataCount": 1_200, "qualityThreshold": 1}  # ten rows reach a part of the variety
MANY = {"sourceDataCount": 1_200, "qualityThreshold": 0.0}
pytestmark = pytest.mark.django_db


@pytest.fixture
def loop(settings: Any) -> LoopVersion:
    settings.MIN_COHORT = 10
    call_command("roles")
    return make_world()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r3al_project.api.synthetic._WAIT_SECONDS", 0.05)


def asked(token: str, **more: Any) -> Any:
    headers = {"Idempotency-Key": more.pop("key")} if "key" in more else {}
    return call("POST", "training/synthetic", token, BODY | {"loop": "rows"} | more, **headers)


@pytest.fixture
def done(loop: LoopVersion, quick: None) -> dict[str, Any]:
    """A table that was kept, as the API tells of it."""
    marginals_released(loop)
    token = token_of("Operator")
    accepted = asked(token, **MANY)
    assert accepted.status_code == 202 and accepted["Location"] == f"/api/v1/jobs/{accepted.told['jobId']}"
    assert accepted.told["status"] == "queued" and accepted.told["accepted"] is None
    job_run(accepted.told["jobId"])
    answer = asked(token, **MANY)
    assert answer.status_code == 201, answer.told
    assert answer["Location"] == f"/api/v1/training/synthetic/{answer.told['syntheticId']}"
    shown: dict[str, Any] = {"token": token} | answer.told
    return shown


@pytest.mark.django_db(transaction=True)
def test_a_real_worker_answers_within_the_wait(loop: LoopVersion, worker: Worker) -> None:
    marginals_released(loop)
    worker.wait_until(lambda: worker.is_running)
    answer = asked(token_of("Operator"))
    told = answer.told
    if answer.status_code == 202:
        worker.wait_until(lambda: Job.objects.get(pk=told["jobId"]).is_over)
        told = call("GET", f"training/synthetic/{told['syntheticId']}", token_of("Viewer")).told
    assert told["status"] == "done" and told["sourceRows"] == 50 and told["lowData"] is True
    assert told["accepted"] == (told["failures"] == []) and (told["rows"] == 500) == told["accepted"]


def test_scores_rows_and_report_are_read_by_who_may(done: dict[str, Any]) -> None:
    assert done["accepted"] is True and done["rows"] == 500 and {p["name"] for p in done["parts"]} > {"membership"}
    assert done["guarantee"] == Release.objects.get().guarantee and done["source"] == "marginals"
    viewer = Client(headers={"Authorization": f"Token {token_of('Viewer')}"})
    report = viewer.get(done["reportUrl"])
    assert report["Content-Type"].startswith("text/html") and "sandbox" in report["Content-Security-Policy"]
    assert "default-src 'none'" in report["Content-Security-Policy"] and b"<script" not in report.content
    assert viewer.get(done["rowsUrl"]).status_code == 403
    rows = Client(headers={"Authorization": f"Token {done['token']}"}).get(done["rowsUrl"])
    assert len(list(csv.DictReader(io.StringIO(rows.content.decode())))) == 500


def test_jobs_are_listed_by_loop_and_method(done: dict[str, Any]) -> None:
    token = token_of("Viewer")
    for query, count in (("", 1), ("?loop=rows", 1), ("?method=mixture", 1), ("?method=world_model", 0)):
        assert len(call("GET", f"training/synthetic{query}", token).told["results"]) == count


def test_below_the_threshold_it_is_done_without_rows(loop: LoopVersion, quick: None) -> None:
    marginals_released(loop)
    token = token_of("Operator")
    job_run(asked(token, **FEW).told["jobId"])
    told = asked(token, **FEW).told
    assert told["status"] == "done" and told["accepted"] is False and told["rowsUrl"] is None
    assert all(f["reason"] and f["value"] < f["bar"] for f in told["failures"])
    assert not TrainingDataPool.objects.exists()
    refused = call("GET", f"training/synthetic/{told['syntheticId']}/rows", token)
    assert refused.status_code == 409 and "its report says which" in refused.told["detail"]


def test_a_key_finds_the_first_job_also_when_a_newer_release_has_come(loop: LoopVersion, quick: None) -> None:
    marginals_released(loop)
    token = token_of("Operator")
    first = asked(token, key="mine").told
    marginals_released(loop, "newer")
    assert asked(token, key="mine").told["syntheticId"] == first["syntheticId"]
    other = asked(token, key="mine", seed=2)
    assert other.status_code == 422 and other.told["type"] == "urn:r3al:problem:key-reused"
    assert asked(token).told["syntheticId"] != first["syntheticId"], "without a key it is the newest release"
    assert IdempotentAnswer.objects.count() == 1


def test_a_cancelled_job_says_so(loop: LoopVersion, quick: None) -> None:
    marginals_released(loop)
    token = token_of("Operator")
    told = asked(token, key="mine").told
    assert call("POST", f"jobs/{told['jobId']}/cancel", token).status_code == 202
    again = asked(token, key="mine")
    assert again.status_code == 409 and "was cancelled" in again.told["detail"]
    assert asked(token).status_code == 202, "without the key it is begun anew"


@pytest.mark.django_db(transaction=True)
def test_equal_requests_at_once_are_one_job(loop: LoopVersion, quick: None) -> None:
    marginals_released(loop)
    token = token_of("Operator")
    answers = in_threads(lambda _: asked(token), range(8), threads=8)
    assert {a.status_code for a in answers} == {202} and len({a.told["syntheticId"] for a in answers}) == 1
    assert SyntheticJob.objects.count() == Job.objects.filter(kind="training.synthesize").count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"method": "magic"}, "method"), ({"sampleCount": 0}, "sampleCount"), ({"sampleCount": 10**9}, "sampleCount"),
        ({"sourceDataCount": 0}, "sourceDataCount"), ({"qualityThreshold": 1.1}, "qualityThreshold"),
        ({"seed": -1}, "seed"), ({"release": 0}, "release"), ({"mode": "x"}, "mode"),
    ],
)  # fmt: skip
def test_a_field_that_does_not_fit_is_named(loop: LoopVersion, change: dict[str, Any], field: str) -> None:
    marginals_released(loop)
    answer = asked(token_of("Operator"), **change)
    assert answer.status_code == 422 and list(answer.told["errors"]) == [field]
    assert not SyntheticJob.objects.exists() and not Job.objects.exists()


def test_what_cannot_be_a_source_is_refused(loop: LoopVersion) -> None:
    token = token_of("Operator")
    nothing = asked(token)
    assert nothing.status_code == 409 and "run a turn, or an anonymisation" in nothing.told["detail"]
    groups = asked(token, release=run(loop, GROUPS).pk)
    assert groups.status_code == 422 and "no formal guarantee" in groups.told["errors"]["release"][0]
    assert asked(token, release=99).status_code == 404 and asked(token, loop="nowhere").status_code == 404
