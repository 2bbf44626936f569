"""On the pages: an act that waits says so, stands on the dashboard, and is decided by another operator."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from deployments.models import Deployment
from deployments.services.rollouts.start import rollout_start
from loops.models import LoopVersion
from privacy.models import Approval, PrivacyBudget
from privacy.services.people.identity import people_get_or_create
from r3al_project.turns.models import Turn
from tests.factories.operators import guarded_loop, operator, outdated_version, waiting_override
from tests.factories.versions import ALWAYS_WALK, judged, learned

pytestmark = pytest.mark.django_db
STAGED = '[rollout]\nstrategy = "canary"\nstages = [0.2, 0.5]\ndwell_weeks = 2\n'
WAITS = "Nothing was done yet. It waits for a second operator as request"


@pytest.fixture(autouse=True)
def loop(settings: Any) -> LoopVersion:
    settings.MAX_PRIVACY_EPSILON = 4.0
    call_command("roles")
    return guarded_loop(rollout=STAGED)


def browser_of(name: str, role: str = "Operator") -> Client:
    client = Client()
    client.force_login(User.objects.get(username=operator(name, role).name))
    return client


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def url(number: int, act: str) -> str:
    return reverse("training-dashboard-approval", args=[number, act])


@pytest.fixture
def waiting(loop: LoopVersion) -> Approval:
    return waiting_override(outdated_version(loop), operator("ann"))


class TestActsThatWait:
    def test_deploying_with_an_override(self, loop: LoopVersion) -> None:
        version = outdated_version(loop)
        page = reverse("training-dashboard-deploy", args=[version.pk])
        sent = {"strategy": "full_rollout", "override": "I know better"}
        ann = browser_of("ann")
        assert "nothing is done before another one approves it" in text(ann.get(page))
        assert WAITS in text(ann.post(page, sent, follow=True))
        assert not Deployment.objects.filter(version=version).exists()

    def test_a_forced_promotion(self, loop: LoopVersion) -> None:
        version = judged(learned(loop, "policy", ALWAYS_WALK))
        rollout = rollout_start(strategy="canary", version=version, actor="ann", reason="it passed")
        page = reverse("training-dashboard-rollout", args=[rollout.pk, "promote"])
        ann = browser_of("ann")
        assert "nothing is done before another one approves it" in text(ann.get(page))
        assert WAITS in text(ann.post(page, {"reason": "now"}, follow=True))
        assert version.deployments.count() == 1

    def test_a_turn_with_more_epsilon(self, loop: LoopVersion) -> None:
        sent = {"loop": "care", "modelType": "", "epochs": "100", "syntheticSamples": "1000", "epsilon": "2"}
        assert WAITS in text(browser_of("ann").post(reverse("training-dashboard-train"), sent, follow=True))
        assert not Turn.objects.exists()

    @pytest.mark.parametrize("is_superuser", [False, True])
    def test_raising_a_cap_in_the_admin(self, is_superuser: bool) -> None:
        person = people_get_or_create(population="people", identifiers=["eve"])["eve"]
        client = browser_of("olga", "Privacy officer")
        User.objects.filter(username="olga").update(is_superuser=is_superuser)
        page = reverse("admin:privacy_privacybudget_change_cap", args=[person])
        sent = {"_form_submitted": "on", "window": "lifetime", "cap": "30", "reason": "study"}
        before = PrivacyBudget.objects.values().get(pk=person)
        assert WAITS in text(client.post(page, sent, follow=True))
        assert PrivacyBudget.objects.values().get(pk=person) == before


class TestTheDashboard:
    def test_it_shows_what_waits_to_those_who_may_see_it(self, waiting: Approval) -> None:
        page = reverse("training-dashboard")
        shown = text(browser_of("bert").get(page))
        assert f"Waiting for a second operator: care, request {waiting.pk}" in shown and "Asked by ann" in shown
        assert (
            "Reason: I know better" in shown and "was judged against" in shown and url(waiting.pk, "approve") in shown
        )
        assert reverse("admin:privacy_approval_change", args=[waiting.pk]) in shown
        assert "Waiting for a second operator" not in text(browser_of("vic", "Viewer").get(page))

    @pytest.mark.parametrize("role", ["Operator", "Privacy officer"])
    def test_whoever_decides_may_read_everything_that_would_be_approved(self, waiting: Approval, role: str) -> None:
        page = reverse("admin:privacy_approval_change", args=[waiting.pk])
        assert "full_rollout" in text(browser_of("bert", role).get(page))

    def test_it_shows_no_longer_what_is_decided(self, waiting: Approval) -> None:
        client = browser_of("bert")
        said = text(client.post(url(waiting.pk, "decline"), {"reason": "too early"}, follow=True))
        assert f"You declined request {waiting.pk}. Nothing was done." in said
        assert "Waiting for a second operator" not in said


class TestDeciding:
    def test_another_operator_is_asked_and_it_is_done(self, waiting: Approval) -> None:
        client = browser_of("bert")
        asked = text(client.get(url(waiting.pk, "approve")))
        assert f"Approve request {waiting.pk} of loop care?" in asked and "ann asked for it on" in asked
        assert Approval.objects.get().state == "waiting", "looking decides nothing"
        said = text(client.post(url(waiting.pk, "approve"), {"reason": "I looked"}, follow=True))
        assert f"You approved request {waiting.pk} of ann. It is done: deployment" in said
        assert Deployment.objects.latest("pk").reason.endswith("; approved by bert")

    def test_a_turn_is_queued_and_not_called_done(self, loop: LoopVersion) -> None:
        sent = {"loop": "care", "modelType": "", "epochs": "100", "syntheticSamples": "1000", "epsilon": "2"}
        browser_of("ann").post(reverse("training-dashboard-train"), sent)
        client, asked = browser_of("bert"), Approval.objects.get()
        assert "It is queued for the workers at once." in text(client.get(url(asked.pk, "approve")))
        said = text(client.post(url(asked.pk, "approve"), {"reason": "r"}, follow=True))
        assert (
            f"You approved request {asked.pk} of ann. It is queued for the workers: turn {Turn.objects.get().pk}."
            in said
        )

    def test_whoever_asked_is_refused_also_as_a_superuser(self, waiting: Approval) -> None:
        User.objects.filter(username="ann").update(is_superuser=True)
        client = browser_of("ann")
        refused = client.get(url(waiting.pk, "approve"))
        assert refused.status_code == 409 and "yourself" in text(refused)
        assert "yourself" in text(client.post(url(waiting.pk, "approve"), {"reason": "r"}, follow=True))
        assert Approval.objects.get().state == "waiting"

    @pytest.mark.parametrize("role", ["Analyst", "Viewer"])
    def test_others_are_forbidden(self, waiting: Approval, role: str) -> None:
        client = browser_of("vic", role)
        for act in ("approve", "decline"):
            assert client.get(url(waiting.pk, act)).status_code == 403
            assert client.post(url(waiting.pk, act), {"reason": "r"}).status_code == 403

    def test_nothing_else_can_be_done_with_a_request(self, waiting: Approval) -> None:
        assert "use approve or decline" in text(browser_of("bert").get(url(waiting.pk, "delete"), follow=True))

    def test_the_admin_only_shows_it(self, waiting: Approval) -> None:
        User.objects.create_superuser("root")
        client = Client()
        client.force_login(User.objects.get(username="root"))
        page = reverse("admin:privacy_approval_change", args=[waiting.pk])
        assert "I know better" in text(client.get(page))
        assert client.post(page, {"state": "approved"}).status_code == 403
        assert client.get(reverse("admin:privacy_approval_add")).status_code == 403
        assert client.get(reverse("admin:privacy_approval_delete", args=[waiting.pk])).status_code == 403
        assert Approval.objects.get().state == "waiting"
