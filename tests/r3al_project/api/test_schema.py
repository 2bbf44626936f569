"""The API document: every address is in it, and what apps send and get fits it (so does every answer to ``documented.call``)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.urls import URLPattern, get_resolver

from loops.models import LoopVersion
from r3al_project.api.urls import urlpatterns
from tests.factories.care import care_loop, person
from tests.r3al_project.api.api_calls import ask, post
from tests.r3al_project.api.documented import assert_documented, document, place_of, validator

pytestmark = pytest.mark.django_db
NOW = "2025-06-03T12:00:00+02:00"
CALCULATE = "/api/v1/training/rewards/calculate"


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop(rules='quiet_hours = ["02:00", "03:00"]')


def test_every_address_is_in_it_and_nothing_else() -> None:
    routes = {str(p.pattern) for p in urlpatterns if isinstance(p, URLPattern) and str(p.pattern).startswith("v1/")}
    known = {"/api/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route) for route in routes}
    assert known == {p for p in document()["paths"] if p.startswith("/api/v1/")} and len(known) > 25
    assert get_resolver().resolve("/api/v1/signals").url_name == "signals"


def test_every_operation_says_what_it_answers_and_refuses() -> None:
    for path, operations in document()["paths"].items():
        if not path.startswith("/api/v1/"):
            continue
        for method, operation in operations.items():
            answers = operation["responses"]
            good = [a for s, a in answers.items() if s.startswith("2")]
            assert good and operation["description"], (method, path)
            assert all("schema" in c for a in good for c in a.get("content", {}).values()), (method, path)
            assert {"401", "default"} <= answers.keys(), (method, path)
            assert list(answers["401"]["content"]) == ["application/problem+json"], (method, path)


def test_the_header_is_named_where_it_is_taken() -> None:
    takes = {
        (method, path)
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
        if "Idempotency-Key" in [p["name"] for p in operation.get("parameters", ())]
    }
    named = (
        "people", "training/models", "training/models/{version}/deploy", "training/models/{version}/rollback",
        "training/models/{version}/rollback/undo",
        *(f"training/rollouts/{{rollout}}/{act}" for act in ("approve", "pause", "resume", "promote", "abort", "retry")),
        "approvals/{approval}/decline", "jobs/{job}/cancel", "training/anonymizations",
        "training/synthetic",
    )  # fmt: skip
    assert takes == {("post", f"/api/v1/{path}") for path in named}


def sent(token: str | None, url: str, body: Any) -> Any:
    """What was sent fits where it was accepted; what came back fits always."""
    response = post(url, token, body)
    assert_documented("POST", url, response)
    if response.status_code < 300:
        content = document()["paths"][place_of(url)]["post"]["requestBody"]["content"]["application/json"]
        assert not list(validator(content["schema"]).iter_errors(body)), url
    return response


def test_decisions(loop: LoopVersion) -> None:
    _, token = person("ann")
    body = {"requestId": "r1", "loop": "care", "context": {"mood": 0.25, "place": "home"}, "localTime": NOW,
            "eligible": {"policy": ["wait", "talk"]}}  # fmt: skip
    url = "/api/v1/optima/decisions"
    assert sent(token, url, body).told["available"]
    unavailable = sent(token, url, body | {"requestId": "r2", "localTime": "2025-06-03T02:30:00+02:00"}).told
    assert not unavailable["available"] and unavailable["actions"]["policy"] == {"action": "wait"}
    assert sent(token, url, {"context": {}}).status_code == 422
    assert sent(token, url, b"{").status_code == 400
    assert sent(None, url, body).status_code == 401
    assert sent(person("bob", consents=())[1], url, body).status_code == 403


def test_what_comes_back(loop: LoopVersion) -> None:
    _, token = person("ann")
    decision = f"/api/v1/optima/decisions/{ask(token, 'r1').told['decisionId']}"
    assert sent(token, f"{decision}/activate", {"at": NOW}).status_code == 200
    assert sent(token, f"{decision}/rewards", {"rewardId": "w1", "total": 0.3, "label": "dismissed"}).status_code == 201
    assert sent(token, f"{decision}/rewards", {"rewardId": "w1", "total": 0.3, "label": "dismissed"}).status_code == 200
    assert (
        sent(
            token, f"{decision}/rewards", {"rewardId": "w2", "components": {"sentiment": 1.0, "uptake": 1}}
        ).status_code
        == 201
    )
    inputs = {"sentimentBefore": -0.5, "sentimentAfter": 0.5, "rating": 1, "delaySeconds": 60, "consentGiven": True}
    assert sent(token, f"{decision}/rewards", {"rewardId": "w3", "inputs": inputs}).status_code == 201
    assert sent(token, f"{decision}/rewards", {"rewardId": "w4", "components": {"joy": 1}}).status_code == 422
    nobodys = "/api/v1/optima/decisions/00000000-0000-4000-8000-000000000000"
    assert sent(token, f"{nobodys}/rewards", {"rewardId": "w1", "total": 0.3}).status_code == 404


def test_signals(loop: LoopVersion) -> None:
    _, token = person("ann")
    pulse = {"id": "s1", "type": "pulse", "at": NOW, "values": {"mood": 0.5, "place": "work"}}
    told = sent(
        token, "/api/v1/signals", {"signals": [pulse, pulse | {"id": "s2", "values": {"age": 3}}], "loop": "care"}
    ).told
    assert told["added"] == 1 and told["rejected"][0]["index"] == 1


def test_calculate(loop: LoopVersion) -> None:
    _, token = person("ann")
    body = {"sentimentBefore": -0.5, "sentimentAfter": 0.5, "actionType": "talk", "actionTiming": 1, "consentGiven": True,
            "loop": "care"}  # fmt: skip
    told = sent(token, CALCULATE, body).told
    assert told["components"]["sentiment"] == {"value": 1.0, "weight": 0.4, "bounds": [-2.0, 2.0]}
    assert sent(token, CALCULATE, {"loop": "care"}).told["total"] is None
    assert sent(token, CALCULATE, {"loop": "nowhere"}).status_code == 404


def test_an_answer_that_does_not_fit_is_seen() -> None:
    """The check itself can fail: a body that lacks what is promised, one that has too much, and a status nobody names."""

    class Made(dict[str, str]):
        def __init__(self, status: int, content: bytes) -> None:
            super().__init__({"Content-Type": "application/json"})
            self.status_code, self.content = status, content

    for made in (Made(201, b'{"rewardId": "w"}'), Made(201, b'{"rewardId": 1, "late": false}'), Made(299, b"{}")):
        with pytest.raises(AssertionError, match=r"/rewards 2"):
            assert_documented("POST", "/api/v1/optima/decisions/x/rewards", made)
