"""A rollout on the dashboard: its stage, its evidence, what comes next, and what an operator may do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from deployments.models import Deployment
from deployments.services.rollouts.operate import rollout_abort, rollout_ask, rollout_pause
from deployments.services.rollouts.start import rollout_start
from deployments.services.ticks.rollout_tick import rollout_tick
from loops.models import LoopVersion
from r3al_project.turns.rollout_acts import ROLLOUT_ACTS
from tests.factories.care import care_loop
from tests.factories.lived_weeks import begun_before, live_weeks, people_with_keys
from tests.factories.users import browser
from tests.factories.versions import ALWAYS_WALK, judged, learned

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/r3al/training-dashboard/"
DECLARED = '[rollout]\nstrategy = "canary"\nstages = [0.2, 0.5]\ndwell_weeks = 2\nextensions = 1\n'


@pytest.fixture
def loop() -> LoopVersion:
    call_command("roles")
    return care_loop(rollout=DECLARED)


@pytest.fixture
def canary(loop: LoopVersion) -> Deployment:
    version = judged(learned(loop, "policy", ALWAYS_WALK))
    return rollout_start(strategy="canary", version=version, actor="ann", reason="it passed")


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def shown(role: str = "Viewer", url: str = PAGE) -> str:
    return text(browser(role).get(url))


def lived(rollout: Deployment, people: int) -> None:
    begun_before(rollout, 2.2)
    live_weeks(rollout, people_with_keys(rollout, people), (1, 2))
    rollout_tick()


def buttons(page: str, rollout: Deployment) -> set[str]:
    return {act for act in ROLLOUT_ACTS if reverse("training-dashboard-rollout", args=[rollout.pk, act]) in page}


def test_a_canary_that_began_says_what_comes_next(canary: Deployment) -> None:
    page = shown()
    assert f"Canary: {canary.version}" in page and "begun by ann" in page
    assert "Stage 1 of 2 (20%, 50%, 100%). 20% of people have the version now. 0 of 2 whole weeks are closed." in page
    assert "7 days left of week 1 of 2. There is no data yet." in page
    assert "None yet. The first one comes when a week is closed." in page


def test_no_list_calls_it_evaluating_or_a_trial(canary: Deployment) -> None:
    for role, url in (("Viewer", PAGE), ("Operator", reverse("front-page-fragment"))):
        page = shown(role, url)
        assert "</span> canary, 20% of people</span>" in page, url
        assert "evaluating</span>" not in page and "on trial" not in page and "Stop trial" not in page, url
    assert f"{canary.version.name} is tried (canary, 20% of people), beside the reference." in shown("Analyst")
    listed = shown("Privacy officer", reverse("admin:training_modelversion_changelist"))
    row = listed.partition('id="result_list"')[2].partition(str(canary.version))[2].partition("</tr>")[0]
    assert "canary" in row and "evaluating" not in row


def test_evidence_stands_beside_its_bound(canary: Deployment) -> None:
    lived(canary, 200)
    page = shown()
    assert "Safe to go on." in page
    assert "proven above 85% of the present version&#x27;s" in page and "</span> holds</span>" in page
    near = re.search(r"lower empathy (\d+)%", page)
    assert near is not None and int(near[1]) < 100, (
        "people are read in the order of a hash of their keys, which are drawn"
    )
    assert "At 100% the version is taken back by itself." in page


def test_figures_of_few_people_are_not_shown(canary: Deployment) -> None:
    lived(canary, 12)
    page = shown()
    assert "It was extended once." in page and "fewer than 10 people" in page
    assert "0.8" not in page.partition("td-evidence")[2].partition("</table>")[0]


def test_buttons_fit_the_state_and_the_role(canary: Deployment) -> None:
    assert buttons(shown(), canary) == set(), "a viewer acts on nothing"
    assert buttons(shown("Operator"), canary) == {"pause", "promote", "abort"}
    assert buttons(shown("Privacy officer"), canary) == {"abort"}
    rollout_ask(rollout=canary, stage=0, act="advance")
    page = text(browser_again("Operator"))
    assert buttons(page, canary) == {"approve", "pause", "promote", "abort"}
    assert "It waits for your approval: then 50% of people get the version." in page
    assert '<span class="fp-quiet">50% of people get the version.</span>' in page
    rollout_pause(rollout=canary, actor="bob", reason="holidays")
    page = text(browser_again("Operator"))
    assert buttons(page, canary) == {"resume", "promote", "abort"}
    assert "Paused by bob because: holidays. Resume it or abort it." in page and "canary, paused" in page


def browser_again(role: str) -> Any:
    client = Client()
    client.force_login(User.objects.get(username=f"{role}-1"))
    return client.get(PAGE)


def test_a_stopped_canary_is_called_by_its_name_and_can_be_tried_again(canary: Deployment) -> None:
    rollout_abort(rollout=canary, actor="ann", reason="no time")
    page = shown("Operator")
    assert "Canary stopped" in page and "Trial stopped" not in page and buttons(page, canary) == {"retry"}


def test_what_did_harm_is_not_offered_again(canary: Deployment) -> None:
    rollout_abort(rollout=canary, actor="ann", reason="people frown", harmful=True)
    page = shown("Operator")
    assert "Canary stopped" in page and ", for harm" in page and buttons(page, canary) == set()


def test_an_ab_test_is_called_so(loop: LoopVersion) -> None:
    version = judged(learned(loop, "policy", ALWAYS_WALK))
    made = rollout_start(strategy="ab_test", version=version, actor="ann", reason="r", share=0.3)
    page = shown()
    assert f"A/B test: {made.version}" in page and "</span> A/B test, 30% of people</span>" in page
    assert "30% of people have the version now. 0 of 4 whole weeks are closed." in page
