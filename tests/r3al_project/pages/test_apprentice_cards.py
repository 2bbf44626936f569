"""An apprenticeship on the dashboard, in the terminal and in the API: what is known of it, and what an operator does with it."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from deployments.engine.rollouts.apprentice import PROMOTES_NOTHING
from deployments.models import Deployment, ServingSlot
from deployments.services.ticks.rollout_tick import rollout_tick
from loops.models import LoopVersion
from tests.factories.apprentices import apprentice, people_live, walks_in_a_good_mood
from tests.factories.care import care_loop
from tests.factories.lived_weeks import begun_before
from tests.factories.shadows import worked_by_hand
from tests.factories.users import browser, token_of
from tests.factories.versions import ALWAYS_WALK, judged, learned
from training.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/r3al/training-dashboard/"


@pytest.fixture
def version(monkeypatch: pytest.MonkeyPatch) -> ModelVersion:
    worked_by_hand(monkeypatch)
    call_command("roles")
    loop: LoopVersion = care_loop()
    return judged(learned(loop, "policy", ALWAYS_WALK))


def shown(client: Client) -> str:
    return " ".join(client.get(PAGE).content.decode().split()).replace("&#x27;", "'")


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("rollout", *arguments, stdout=out)
    return out.getvalue()


def api(token: str, path: str) -> Any:
    return Client().get(f"/api/v1/training/rollouts{path}", headers={"Authorization": f"Token {token}"}).json()


def test_one_in_progress_says_what_is_known_and_what_is_not(version: ModelVersion) -> None:
    made = apprentice(version)
    page = shown(browser("Viewer"))
    assert f"Apprentice: {version}" in page and "Nothing yet. A check looks once a day." in page
    assert "The app's own choice, where it sends one. Otherwise the choice of the reference." in page
    assert PROMOTES_NOTHING in page and ">Pause<" not in page, "a viewer changes nothing"
    people_live(walks_in_a_good_mood, people=12, each=10)
    rollout_tick()
    page = shown(browser("Operator"))
    assert "The app sent its own choice in 120 of 120 decisions." in page
    assert "of the app's choices, by 12 people" in page and "wait 0%, walk 100%" in page
    assert "the app never tried the version's action in alike contexts, so nothing is known of it." in page
    assert reverse("training-dashboard-rollout", args=[made.pk, "pause"]) in page and "Promote now" not in page


def test_its_result_stays_beside_the_version_while_it_waits(version: ModelVersion) -> None:
    made = apprentice(version)
    people_live(walks_in_a_good_mood, people=12, each=10)
    begun_before(made, 4.1)
    rollout_tick()
    page = shown(browser("Viewer"))
    assert "Apprenticeship succeeded" in page and "Apprenticeship finished." in page
    assert "The app's own choice, where it sent one." in page


def test_it_is_begun_on_the_deploy_page_paused_on_the_acts_page_and_stopped(version: ModelVersion) -> None:
    operator = browser("Operator")
    url = reverse("training-dashboard-deploy", args=[version.pk])
    assert 'value="apprentice"' in operator.get(url).content.decode()
    begun = operator.post(url, {"strategy": "apprentice"}, follow=True).content.decode().replace("&#x27;", "'")
    assert "is an apprentice for 4 weeks. The app's own choices are served where it sends them." in begun
    made = Deployment.objects.get()
    pause = reverse("training-dashboard-rollout", args=[made.pk, "pause"])
    assert "everybody gets the present version, until you resume" in operator.get(pause).content.decode()
    operator.post(pause, {"reason": "a fault of the app"})
    assert not ServingSlot.objects.get(head="policy").app_chooses and "It is paused" in shown(operator)
    stop = reverse("training-dashboard-rollback", args=[version.pk])
    asked = operator.get(stop).content.decode().replace("&#x27;", "'")
    assert "Stop the apprenticeship of" in asked and "The app's own choices are served no more" in asked
    operator.post(stop, {"reason": "seen enough"})
    made.refresh_from_db()
    assert made.state == "aborted" and "Apprenticeship aborted" in shown(operator)


def test_the_terminal_begins_shows_pauses_and_aborts_it(version: ModelVersion) -> None:
    call_command("deploy", version.name, "--strategy", "apprentice", stdout=StringIO())
    people_live(walks_in_a_good_mood, people=12, each=10)
    rollout_tick()
    text = said("show", version.name)
    assert "Nobody gets the version's actions." in text and "Next: It ends by itself on" in text
    assert "120 of 120 decisions" in text and "never tried the version's action" in text
    assert "apprenticeship, paused" in said("pause", version.name, "--reason", "a fault")
    said("resume", version.name, "--reason", "mended")
    said("abort", version.name, "--reason", "seen enough")
    assert Deployment.objects.get().state == "aborted"


def test_the_api_begins_and_shows_it_with_its_figures(version: ModelVersion) -> None:
    token = token_of("Operator")
    begun = Client().post(
        f"/api/v1/training/models/{version.name}/deploy", {"deploymentType": "apprentice"}, content_type="application/json",
        headers={"Authorization": f"Token {token}"},
    )  # fmt: skip
    assert begun.status_code == 200 and begun.json()["deploymentType"] == "apprentice"
    people_live(walks_in_a_good_mood, people=12, each=10)
    rollout_tick()
    (rollout,) = api(token, "")["results"]
    assert (rollout["strategy"], rollout["share"], rollout["dueWeeks"], rollout["terms"]["weeks"]) == (
        "apprentice",
        0.0,
        4,
        4,
    )
    figures = rollout["lastVerdict"]["figures"]
    assert (figures["own"], figures["without"], figures["imitation"]["overall"]["people"]) == (120, 0, 12)
    assert figures["imitation"]["byAction"]["walk"]["rate"]["value"] == 1.0
    assert figures["gain"]["variedGain"] is None and figures["gain"]["untried"] > 0.4
