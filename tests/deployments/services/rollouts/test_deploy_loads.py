"""A click on Deploy, or on taking a version back, reads each row once and asks nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from knox.models import AuthToken

from deployments.services.rollouts.full_rollout import full_rollout
from deployments.services.rollouts.rollback import version_rollback
from tests.call_walks import Loads, loading
from tests.deployments.services.rollouts.test_full_rollout import CALM, changed, passed
from tests.factories.care import care_loop
from tests.factories.versions import judged, learned
from training.models import ModelVersion
from training.selectors.versions import version_get

pytestmark = pytest.mark.django_db
LIBRARY = "knox_authtoken"  # knox reads a user's tokens again, to delete those that have expired
API, PAGE = "/api/v1/training/models/{}/{}", "training-dashboard-{}"


def once(loads: Loads) -> None:
    """Each row of the product once, no statement twice; and something was read."""
    assert {what: n for what, n in loads.twice().items() if not what.startswith(LIBRARY)} == {}
    assert {"model_versions", "serving_slots", "loops", "loop_versions"} <= {table for table, _ in loads.rows}


class Served:
    """A loop in which ``serving`` serves policy; ``waiting`` passed against it, ``tone`` against tone's reference."""

    def __init__(self) -> None:
        self.loop = care_loop()
        self.serving = passed(self.loop)
        full_rollout(version=self.serving, actor="ann", reason="passed")
        self.waiting = passed(self.loop, parent=self.serving)
        self.tone = passed(self.loop, "tone")
        self.operator = User.objects.create_superuser("olivia")
        self.pages = Client()
        self.pages.force_login(self.operator)

    def post(self, version: ModelVersion, act: str, **body: Any) -> Any:
        """The API's way."""
        token = AuthToken.objects.create(self.operator)[1]
        headers = {"Authorization": f"Token {token}", "Idempotency-Key": f"{act} {version.pk}"}
        url = API.format(version.name, act)
        with loading() as loads:
            response: Any = Client().post(url, json.dumps(body), content_type="application/json", headers=headers)
        response.loads = loads
        return response

    def page(self, version: ModelVersion, act: str, **form: str) -> Any:
        """The dashboard's way; without a form the page that asks whether one is sure."""
        url = reverse(PAGE.format(act), args=[version.pk])
        with loading() as loads:
            response: Any = self.pages.post(url, form) if form else self.pages.get(url)
        response.loads = loads
        return response


@pytest.fixture
def served() -> Served:
    return Served()


@pytest.mark.parametrize("head", ["waiting", "tone"])
class TestDeploying:
    def test_the_service(self, served: Served, head: str) -> None:
        version = version_get(getattr(served, head).pk)
        with loading() as loads:
            full_rollout(version=version, actor="ann", reason="passed")
        assert ("model_versions", version.pk) not in loads.rows, "the version is at hand"
        assert loads.rows and not loads.twice()

    def test_the_api(self, served: Served, head: str) -> None:
        answer = served.post(getattr(served, head), "deploy", deploymentType="full_rollout")
        assert answer.status_code == 200, answer.content
        once(answer.loads)

    def test_the_page_that_asks(self, served: Served, head: str) -> None:
        answer = served.page(getattr(served, head), "deploy")
        assert answer.status_code == 200
        once(answer.loads)

    def test_the_page_that_does_it(self, served: Served, head: str) -> None:
        answer = served.page(getattr(served, head), "deploy", override="", strategy="full_rollout")
        assert answer.status_code == 302
        once(answer.loads)


def test_with_a_reason_for_what_was_judged_against_something_else(served: Served) -> None:
    other = passed(served.loop)
    answer = served.post(other, "deploy", deploymentType="full_rollout", overrideReason="it was judged yesterday")
    assert answer.status_code == 200, answer.content
    once(answer.loads)


def test_what_is_refused(served: Served) -> None:
    other = judged(learned(served.loop, "tone", CALM, parent=served.tone))
    answer = served.post(other, "deploy", deploymentType="full_rollout")
    assert answer.status_code == 409, answer.content
    once(answer.loads)


def test_where_the_loop_has_moved_on(served: Served) -> None:
    changed(served.loop, ("exploration = 0.2", "exploration = 0.3"))
    answer = served.page(served.waiting, "deploy", override="", strategy="full_rollout")
    assert answer.status_code == 302
    once(answer.loads)


class TestTakingBack:
    @pytest.fixture(params=["to the reference", "to an earlier one"])
    def version(self, served: Served, request: pytest.FixtureRequest) -> ModelVersion:
        if request.param == "to the reference":
            return served.serving
        full_rollout(version=served.waiting, actor="ann", reason="passed")
        return served.waiting

    def test_the_service(self, version: ModelVersion) -> None:
        found = version_get(version.pk)
        with loading() as loads:
            version_rollback(version=found, actor="ann", reason="it harms", harmful=True)
        assert ("model_versions", version.pk) not in loads.rows and not loads.twice()

    def test_the_api(self, served: Served, version: ModelVersion) -> None:
        answer = served.post(version, "rollback", reason="it harms")
        assert answer.status_code == 200, answer.content
        once(answer.loads)

    def test_the_page(self, served: Served, version: ModelVersion) -> None:
        answer = served.page(version, "rollback", reason="it harms")
        assert answer.status_code == 302
        once(answer.loads)


def test_a_row_that_is_read_twice_is_noticed(served: Served) -> None:
    read: Callable[[], Any] = lambda: ModelVersion.objects.get(pk=served.tone.pk)  # noqa: E731
    with loading() as loads:
        read(), read()
    assert loads.rows["model_versions", served.tone.pk] == 2 and len(loads.twice()) == 2
