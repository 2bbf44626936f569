"""A shadow test on the dashboard: what it saw, what it cannot see, how it ended, and how an operator stops it."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.urls import reverse

from deployments.engine.rollouts.shadow import SEES_NO_OUTCOMES
from deployments.models import Deployment, ShadowMinute
from deployments.services.rollouts.start import rollout_start
from deployments.services.ticks.rollout_tick import rollout_tick
from loops.models import LoopVersion
from tests.factories.care import care_loop
from tests.factories.lived_weeks import begun_before
from tests.factories.users import browser
from tests.factories.versions import ALWAYS_WALK, judged, learned
from training.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/r3al/training-dashboard/"


@pytest.fixture
def loop() -> LoopVersion:
    call_command("roles")
    return care_loop()


@pytest.fixture
def version(loop: LoopVersion) -> ModelVersion:
    return judged(learned(loop, "policy", ALWAYS_WALK))


@pytest.fixture
def test(version: ModelVersion) -> Deployment:
    return rollout_start(strategy="shadow_test", version=version, actor="ann", reason="look first")


def shown(role: str = "Viewer") -> str:
    return " ".join(browser(role).get(PAGE).content.decode().split()).replace("&#x27;", "'")


def seen(test: Deployment, **counts: int) -> None:
    ShadowMinute.objects.create(version=test.version, minute=test.created_at.replace(second=0, microsecond=0), **counts)


def test_one_in_progress_says_what_it_saw_and_what_it_cannot(test: Deployment) -> None:
    page = shown()
    assert f"In a shadow test: {test.version}" in page and "Too few choices were compared." in page
    assert SEES_NO_OUTCOMES in page and "Stop the shadow test" not in page, "a viewer stops nothing"
    seen(test, scored=1_200, late=3, errors=2, dropped=7, compared=1_000, agreed=750, intervened=400, total_us=60_000)
    page = shown("Operator")
    assert "1,200 choices, 3 of them slow. 2 decisions failed, and 7 were dropped under load." in page
    assert "75.0% of 1,000 greedy choices are the same." in page and "Stop the shadow test" in page
    assert "shadow test" in page


def test_its_result_stays_beside_the_version_while_it_waits(test: Deployment) -> None:
    seen(test, scored=1_200, compared=1_000, agreed=750)
    begun_before(test, 1.1)
    ShadowMinute.objects.update(minute=test.created_at)
    rollout_tick()
    page = shown()
    assert "Shadow test succeeded" in page and "Shadow finished. The candidate made 1,200 decisions" in page


def test_it_is_begun_on_the_deploy_page_and_stopped_on_the_rollback_page(version: ModelVersion) -> None:
    operator = browser("Operator")
    url = reverse("training-dashboard-deploy", args=[version.pk])
    assert 'value="shadow_test"' in operator.get(url).content.decode()
    begun = operator.post(url, {"strategy": "shadow_test"}, follow=True).content.decode()
    assert "decides in shadow for 1 week. Nobody gets its actions." in begun
    stop = reverse("training-dashboard-rollback", args=[version.pk])
    asked = operator.get(stop).content.decode()
    assert "Stop the shadow test of" in asked and "nothing changes for anybody" in asked
    operator.post(stop, {"reason": "seen enough"})
    assert Deployment.objects.get().state == "aborted"
    assert "Shadow test stopped" in shown()
