"""Acts on rollouts from the dashboard: confirmed, with a reason, by those who may."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.urls import reverse

from deployments.models import Deployment, Incident, RolloutAct
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.operate import rollout_ask
from deployments.services.rollouts.start import rollout_start
from r3al_project.permissions import DEPLOY_VERSION, VIEW_VERSIONS
from r3al_project.turns.rollout_acts import ROLLOUT_ACTS
from tests.factories.care import care_loop
from tests.factories.users import browser, staff
from tests.factories.versions import ALWAYS_WALK, judged, learned

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/r3al/training-dashboard/"
DECLARED = '[rollout]\nstrategy = "canary"\nstages = [0.2, 0.5]\ndwell_weeks = 2\n'


@pytest.fixture
def canary() -> Deployment:
    call_command("roles")
    version = judged(learned(care_loop(rollout=DECLARED), "policy", ALWAYS_WALK))
    return rollout_start(strategy="canary", version=version, actor="ann", reason="it passed")


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def url(rollout: Deployment, act: str) -> str:
    return reverse("training-dashboard-rollout", args=[rollout.pk, act])


def weight(rollout: Deployment) -> int:
    return slot_for(rollout.slot.loop, "policy").weight_bp


def test_each_act_is_confirmed_and_done(canary: Deployment) -> None:
    client = browser("Operator")
    asked = text(client.get(url(canary, "pause")))
    assert (
        f"Pause: canary of {canary.version}?" in asked
        and "Everybody gets the present version until you resume." in asked
    )
    assert "20% of people have the version now." in asked and weight(canary) == 2_000, "looking does nothing"
    assert "You paused the canary" in text(client.post(url(canary, "pause"), {"reason": "holidays"}, follow=True))
    assert weight(canary) == 0 and RolloutAct.objects.get().reason == "holidays"
    assert "You resumed" in text(client.post(url(canary, "resume"), {"reason": "back"}, follow=True))
    rollout_ask(rollout=canary, stage=0, act="advance")
    assert "then 50% of people get the version" in text(client.get(url(canary, "approve")))
    assert "You approved" in text(client.post(url(canary, "approve"), {"reason": "good"}, follow=True))
    assert weight(canary) == 5_000
    ended = text(client.post(url(canary, "abort"), {"reason": "no time"}, follow=True))
    assert "You ended the canary" in ended and not Incident.objects.get().harmful
    assert "is in its first stage" in text(client.post(url(canary, "retry"), {"reason": "again"}, follow=True))


def test_a_promotion_before_the_evidence_says_so_needs_its_own_permission(canary: Deployment) -> None:
    client = staff(VIEW_VERSIONS, DEPLOY_VERSION)
    refused = client.get(url(canary, "promote"))
    assert refused.status_code == 409 and "the evidence does not say yet" in text(refused)
    assert client.post(url(canary, "promote"), {"reason": "now"}).status_code == 403 and weight(canary) == 2_000
    rollout_ask(rollout=canary, stage=0, act="promote")
    assert client.get(url(canary, "promote")).status_code == 200
    assert "is deployed to everybody" in text(client.post(url(canary, "promote"), {"reason": "now"}, follow=True))


def test_an_operator_is_told_that_it_is_an_override(canary: Deployment) -> None:
    client = browser("Operator")
    assert "Your reason is stored as an override." in text(client.get(url(canary, "promote")))
    assert "is deployed to everybody" in text(client.post(url(canary, "promote"), {"reason": "now"}, follow=True))
    assert slot_for(canary.slot.loop, "policy").stable_id == canary.version_id


@pytest.mark.parametrize("act", ROLLOUT_ACTS)
def test_each_act_has_its_permission(canary: Deployment, act: str) -> None:
    for role in ("Viewer", "Analyst", "Privacy officer"):
        if (role, act) != ("Privacy officer", "abort"):
            client = browser(role)
            assert client.get(url(canary, act)).status_code == 403, role
            assert client.post(url(canary, act), {"reason": "r"}).status_code == 403, role
    canary.refresh_from_db()
    assert (canary.state, weight(canary)) == ("in_progress", 2_000)


def test_what_does_not_fit_is_refused_with_a_reason(canary: Deployment) -> None:
    client = browser("Operator")
    for act, why in (
        ("approve", "waits for no approval"),
        ("resume", "only a paused one"),
        ("retry", "only one that was aborted"),
    ):
        asked = client.get(url(canary, act))
        assert asked.status_code == 409 and why in text(asked), act
        assert '<form method="post" class="td-form">' not in text(asked)
        client.post(url(canary, act), {"reason": "r"})
    assert "needs a reason" in text(client.post(url(canary, "pause"), {"reason": " "}, follow=True))
    canary.refresh_from_db()
    assert (canary.state, weight(canary)) == ("in_progress", 2_000) and Deployment.objects.count() == 1


def test_what_is_not_there_is_said_on_the_dashboard(canary: Deployment) -> None:
    client = browser("Operator")
    for pk in (99_999, 10**30):
        address = reverse("training-dashboard-rollout", args=[pk, "pause"])
        assert "there is no rollout" in text(client.get(address, follow=True))
    assert "is nothing to do with a rollout" in text(client.get(url(canary, "dance"), follow=True))
