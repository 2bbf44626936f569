"""The front page and the fragment that keeps it live."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from core.html_format import NOT_ENOUGH_PEOPLE
from deployments.models import ServingSlot
from jobs.models import Job
from loops.models import LoopVersion
from r3al_project.turns.models import Turn
from tests.factories.every_table import NOW, furnish
from training.models import GateVerdict, ModelMetric, ModelVersion

PAGES = ("admin:index", "front-page-fragment")


def shown(client: Client, page: str) -> str:
    answer = client.get(reverse(page))
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_platform_says_how_to_begin(operator: Client, page: str) -> None:
    text = shown(operator, page)
    assert "No turn has run yet" in text
    assert "python3 run.py demo" in text
    assert "manage.py loop add FILE" in text


@pytest.mark.parametrize("page", PAGES)
def test_it_shows_slots_versions_and_the_running_stage(operator: Client, house: LoopVersion, page: str) -> None:
    text = shown(operator, page)
    slot = ServingSlot.objects.filter(candidate__isnull=True).first() or ServingSlot.objects.get()
    assert f"{slot.loop.name} / {slot.head}" in text
    assert f"the reference, always “{slot.stable.config['action']}”" in text
    candidate = ModelVersion.objects.get(kind="linear_q")
    assert f"candidate model_{candidate.pk} at 5% of traffic" in text
    assert f"small/policy model_{candidate.pk}" in text
    assert "running, 43%" in text
    assert 'value="43" aria-label="release"' in text
    assert "round 2 of 3" in text
    assert "About 7 of 9 rows added, 1 already stored, 1 rejected." in text


def test_policy_is_judged_first_whatever_came_last(operator: Client, house: LoopVersion) -> None:
    for head in ("empathy", "tone"):
        version = ModelVersion.objects.create(
            loop_version=house, head=head, number=1, kind="linear_q", state="evaluating", weights_sha256="0" * 64
        )
        GateVerdict.objects.create(version=version, attempt=1, verdict="fail", reason=f"{head} said so")
    judged = re.findall(r'Gate verdict: <a href="[^"]+">small/(\w+)', shown(operator, "front-page-fragment"))
    assert judged == ["policy", "tone"]


def test_a_share_that_may_be_anything_has_no_estimate(operator: Client, house: LoopVersion) -> None:
    version = ModelVersion.objects.get(kind="linear_q")
    measured = {"value": 1.0, "low": 0.0, "high": 1.0, "threshold": 0.75}
    ModelMetric.objects.create(
        version=version, source="outcome_gate", name="empathy", verdict="insufficient", **measured
    )
    text = shown(operator, "front-page-fragment")
    assert f"{NOT_ENOUGH_PEOPLE}; threshold 0.75" in text and "1 (0 to 1)" not in text


def test_progress_moves_with_the_job(operator: Client, house: LoopVersion) -> None:
    Job.objects.filter(state="running").update(progress=0.8, message="round 3 of 3")
    assert "running, 80%" in shown(operator, "front-page-fragment")


def test_a_turn_that_runs_comes_before_later_ones_that_ended(operator: Client, house: LoopVersion) -> None:
    later = furnish("later")
    Turn.objects.filter(loop_version=later).update(outcome="kept", finished_at=NOW)
    text = shown(operator, "front-page-fragment")
    assert text.index("small v1, turn") < text.index("later v1, turn")
    assert "small: release is running." in text


def test_a_failed_stage_says_why(operator: Client, house: LoopVersion) -> None:
    Job.objects.filter(state="running").update(
        state="failed", lease_token="", lease_until=None, finished_at=NOW, error="the file <b>vanished</b>"
    )
    text = shown(operator, "front-page-fragment")
    assert "the file &lt;b&gt;vanished&lt;/b&gt;" in text
    assert "<b>vanished" not in text


def test_nobody_sees_the_fragment_without_a_login(client: Client, house: LoopVersion) -> None:
    answer = client.get(reverse("front-page-fragment"))
    assert answer.status_code == 302 and "/admin/login/" in answer["Location"]


def test_the_fragment_is_never_kept_by_a_browser(operator: Client, house: LoopVersion) -> None:
    assert "no-store" in operator.get(reverse("front-page-fragment"))["Cache-Control"]


def test_its_queries_do_not_grow_with_what_there_is(operator: Client, house: LoopVersion) -> None:
    furnish("second")
    few = _queries(operator)
    for name in ("third", "fourth", "fifth"):
        furnish(name)
    assert _queries(operator) <= min(few, 15)


def test_no_weights_are_loaded_for_it(operator: Client, house: LoopVersion) -> None:
    with CaptureQueriesContext(connection) as seen:
        shown(operator, "front-page-fragment")
    assert not [q["sql"] for q in seen if '"weights"' in q["sql"]]


def _queries(client: Client) -> int:
    shown(client, "front-page-fragment")
    with CaptureQueriesContext(connection) as seen:
        shown(client, "front-page-fragment")
    return len(seen)
