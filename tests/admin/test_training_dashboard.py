"""The training dashboard: who sees it, who may act, and that every act is confirmed, sent by POST and recorded."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from deployments.models import Deployment, HealthCheck, Incident
from deployments.selectors import slot_for
from loops.models import LoopVersion
from privacy.models import VaultEvent
from r3al_project.turns.models import Turn
from tests.deployments.serving import ALWAYS_WALK, care_loop, learned, serve
from training.models import GateVerdict, ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/r3al/training-dashboard/"


@pytest.fixture
def loop() -> LoopVersion:
    call_command("roles")
    return care_loop()


def browser(role: str) -> Client:
    user = User.objects.create_user(f"{role}-1", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def passed(loop: LoopVersion) -> ModelVersion:
    version = learned(loop, "policy", ALWAYS_WALK)
    GateVerdict.objects.create(version=version, attempt=1, verdict="pass", reason="people said so")
    return version


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_strangers_log_in_and_roles_without_models_see_nothing(loop: LoopVersion) -> None:
    assert Client().get(PAGE)["Location"].startswith("/admin/login/")
    assert browser("Service").get(PAGE).status_code in (302, 403)


def test_a_viewer_sees_everything_and_can_do_nothing(loop: LoopVersion) -> None:
    version, client = passed(loop), browser("Viewer")
    shown = text(client.get(PAGE))
    assert "care/policy" in shown and "What this is, and what it promises" in shown
    assert "Start training" not in shown and reverse("training-dashboard-deploy", args=[version.pk]) not in shown
    for name, pk in (("deploy", version.pk), ("rollback", version.pk), ("cancel", 1)):
        assert client.post(reverse(f"training-dashboard-{name}", args=[pk]), {"reason": "x"}).status_code == 403
    assert client.post(reverse("training-dashboard-train"), {}).status_code == 403
    assert not Deployment.objects.exists() and not Turn.objects.exists()


def test_deploying_and_taking_back_are_confirmed_and_recorded(loop: LoopVersion) -> None:
    version, client = passed(loop), browser("Operator")
    url = reverse("training-dashboard-deploy", args=[version.pk])
    assert url in text(client.get(PAGE))
    assert "Deploy care/policy" in text(client.get(url)) and not Deployment.objects.exists(), "looking does nothing"
    assert "serves now" in text(client.post(url, follow=True))
    assert slot_for(loop.loop, "policy").stable == version
    assert Deployment.objects.get().actor == "Operator-1"
    back = reverse("training-dashboard-rollback", args=[version.pk])
    assert "needs a reason" in text(client.post(back, {"reason": ""}, follow=True))
    assert "is taken back" in text(client.post(back, {"reason": "people frown", "harmful": "1"}, follow=True))
    assert Incident.objects.get().harmful and "people frown" in text(client.get(PAGE))
    assert set(VaultEvent.objects.values_list("kind", flat=True)) >= {"deployment", "rollback"}
    assert "does not serve" in text(client.post(back, {"reason": "again"}, follow=True))


def test_without_the_form_s_own_token_nothing_is_done(loop: LoopVersion) -> None:
    version = passed(loop)
    browser("Operator")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="Operator-1"))
    assert strict.post(reverse("training-dashboard-deploy", args=[version.pk])).status_code == 403
    assert not Deployment.objects.exists()


def test_training_begins_is_shown_and_can_be_cancelled(loop: LoopVersion) -> None:
    client = browser("Operator")
    form = {"loop": "care", "modelType": "policy", "epochs": "50", "syntheticSamples": "500", "epsilon": "0.5"}
    assert "has begun" in text(client.post(reverse("training-dashboard-train"), form, follow=True))
    turn = Turn.objects.get()
    assert (turn.parameters["epsilon"], turn.parameters["requested"]["epochs"]) == (0.5, 50)
    cancel = reverse("training-dashboard-cancel", args=[turn.stages.get().job_id])
    assert cancel in text(client.get(reverse("training-dashboard-live")))
    assert "Cancel job" in text(client.get(cancel))
    assert "asked to end" in text(client.post(cancel, follow=True))
    turn.refresh_from_db()
    assert turn.outcome == "failed"


@pytest.mark.parametrize(
    ("change", "said"),
    [({"epochs": "many"}, "whole number from 1"), ({"epsilon": "9"}, "above the most"), ({"loop": "lost"}, "no loop"),
     ({"syntheticSamples": "5"}, "whole number from 200"), ({"epsilon": ""}, "must be a number")],
)  # fmt: skip
def test_bad_values_are_one_sentence(loop: LoopVersion, change: dict[str, str], said: str) -> None:
    form = {"loop": "care", "modelType": "", "epochs": "50", "syntheticSamples": "500", "epsilon": "0.5"} | change
    answer = text(browser("Operator").post(reverse("training-dashboard-train"), form, follow=True))
    assert said.replace("'", "&#x27;") in answer and not Turn.objects.exists()


def test_health_is_shown_with_its_numbers(loop: LoopVersion) -> None:
    version = learned(loop, "policy", ALWAYS_WALK)
    serve(version)
    metric = {"name": "empathy", "value": 0.6, "low": 0.5, "high": 0.7, "threshold": 0.75, "n": 120, "minimum_n": 20,
              "verdict": "beyond"}  # fmt: skip
    HealthCheck.objects.create(
        slot=slot_for(loop.loop, "policy"), version=version, generation=2, state="degraded", metrics=[metric],
        recommendations=["Look at the states in which it intervenes."],
    )  # fmt: skip
    shown = text(browser("Viewer").get(PAGE))
    for words in ("degraded", "0.6 (0.5 to 0.7), at least 0.75; n 120", "Look at the states", "beyond"):
        assert words in shown, words
