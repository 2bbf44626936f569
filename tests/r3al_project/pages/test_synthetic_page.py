"""The pages of synthetic data: started from a form, followed, read in a frame that runs nothing, cancelled."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client

from jobs.models import Job
from jobs.services import job_run
from loops.models import LoopVersion
from tests.factories.anonymize import make_world
from tests.factories.synthetic import ASKED, marginals_released, synthesized
from training.models import SyntheticJob
from training.services.synthetic.requests import synthesize_enqueue

pytestmark = pytest.mark.django_db
PAGE = "/r3al/synthetic/"
FORM = {
    "loop": "rows", "method": "mixture", "sampleCount": "600", "sourceDataCount": "1200", "qualityThreshold": "0",
    "release": "", "seed": "1",
}  # fmt: skip


def client_of(role: str) -> Client:
    user = User.objects.create_user(f"staff-{role}", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def world(settings: Any) -> LoopVersion:
    settings.MIN_COHORT = 10
    call_command("roles")
    version = make_world()
    marginals_released(version)
    return version


@pytest.fixture
def operator(world: LoopVersion) -> Client:
    return client_of("Operator")


def text(response: Any) -> str:
    return str(response.content.decode())


def test_a_job_is_started_followed_and_read(operator: Client) -> None:
    begun = operator.post(PAGE, FORM)
    made = SyntheticJob.objects.get()
    assert begun.status_code == 302 and begun["Location"] == f"{PAGE}{made.pk}/"
    waiting = text(operator.get(begun["Location"]))
    assert "The job is queued" in waiting and f"{PAGE}{made.pk}/live/" in waiting and "Cancel" in waiting
    job_run(made.job_id or 0)
    page = text(operator.get(begun["Location"]))
    assert "600 rows were kept" in page and "sandbox></iframe>" in page and f"{PAGE}{made.pk}/rows/" in page
    assert "data-fragment" not in page, "nothing changes any more"
    assert "600" in text(operator.get(PAGE)) and "kept" in text(operator.get(f"{PAGE}{made.pk}/live/"))


def test_a_report_may_be_framed_by_the_page_and_runs_nothing(world: LoopVersion, operator: Client) -> None:
    made = synthesized(world)
    report = operator.get(f"{PAGE}{made.pk}/report/")
    policy = report["Content-Security-Policy"]
    assert report["X-Frame-Options"] == "SAMEORIGIN" and "frame-ancestors 'self'" in policy
    assert policy.endswith("sandbox") and "script" not in policy and "<script" not in text(report)
    saved = operator.get(f"{PAGE}{made.pk}/report/?download=1")
    assert saved["Content-Disposition"] == f'attachment; filename="synthetic-{made.pk}.html"'
    assert operator.get(f"{PAGE}{made.pk}/rows/")["Content-Type"] == "text/csv"


def test_what_was_refused_says_why(world: LoopVersion, operator: Client) -> None:
    operator.post(PAGE, FORM | {"sampleCount": "10", "qualityThreshold": "1"})
    made = SyntheticJob.objects.get()
    job_run(made.job_id or 0)
    page = text(operator.get(f"{PAGE}{made.pk}/"))
    assert "no rows were kept" in page and "Diversity is 0." in page and f"{PAGE}{made.pk}/rows/" not in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sampleCount": "0"}, "SampleCount is 0"), ({"seed": "x"}, "must be a whole number"), ({"method": "magic"}, "magic"),
        ({"release": "99"}, "no release 99"), ({"qualityThreshold": "much"}, "must be a number"), ({"loop": ""}, "no loop"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_said_and_stays_in_the_form(operator: Client, change: dict[str, str], said: str) -> None:
    answer = operator.post(PAGE, FORM | change)
    assert answer.status_code == 422 and said.lower() in text(answer).lower() and 'value="1200"' in text(answer)
    assert not SyntheticJob.objects.exists() and not Job.objects.exists()


def test_a_job_is_cancelled_after_a_question(world: LoopVersion, operator: Client) -> None:
    made = synthesize_enqueue(loop_version=world, request=ASKED)
    assert "Cancel synthetic job" in text(operator.get(f"{PAGE}{made.pk}/cancel/"))
    assert operator.post(f"{PAGE}{made.pk}/cancel/").status_code == 302
    assert "was cancelled and wrote nothing" in text(operator.get(f"{PAGE}{made.pk}/"))
    assert operator.get(f"{PAGE}{made.pk}/cancel/").status_code == 409


def test_who_may_only_look_starts_and_cancels_nothing(world: LoopVersion) -> None:
    viewer = client_of("Viewer")
    made = synthesized(world)
    assert "Generate a table" not in text(viewer.get(PAGE)) and viewer.post(PAGE, FORM).status_code == 403
    page = text(viewer.get(f"{PAGE}{made.pk}/"))
    assert "600 rows were kept" in page and "Download the rows" not in page
    assert viewer.get(f"{PAGE}{made.pk}/rows/").status_code == 403
    assert viewer.post(f"{PAGE}{made.pk}/cancel/").status_code == 403
