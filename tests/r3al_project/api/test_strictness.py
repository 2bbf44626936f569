"""Nothing that a caller sends is lost in silence: unknown parameters, names that occur twice, methods that an address lacks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from privacy.services.people.authentication import forget_callers
from r3al_project.api.urls import urlpatterns
from tests.r3al_project.api.documented import document
from tests.r3al_project.api.test_every_endpoint import (
    EVERY,
    GOOD,
    WRITING,
    Caller,
    Callers,
    callers_made,
    methods,
    sent,
)

pytestmark = pytest.mark.django_db
URLS = {str(p.pattern): p for p in urlpatterns}


@pytest.fixture(autouse=True)
def as_often_as_one_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rest_framework.throttling.ScopedRateThrottle.allow_request", lambda *arguments: True)


@pytest.fixture(autouse=True)
def nobody_known_yet() -> None:
    forget_callers()


@pytest.fixture(scope="module")
def callers(rows_of_module: None) -> Callers:
    return callers_made()


@pytest.fixture
def caller(callers: Callers, method: str, address: str) -> Caller:
    return callers.of(method, address)


def told(answer: Any) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(answer.content)
    return read


@pytest.mark.parametrize(("method", "address"), EVERY)
def test_an_unknown_parameter_is_refused_everywhere(caller: Caller) -> None:
    body = json.dumps(GOOD.get(caller.address, {})).encode()
    root, person = caller.send(body, query="?lopp=care")
    assert root.status_code == 422 and person.status_code in (403, 422), root.content
    assert "lopp" in told(root)["errors"]


LISTS_OF_A_LOOP = [
    "v1/training/models", "v1/privacy/releases", "v1/training/calibration", "v1/training/rollouts", "v1/approvals",
    "v1/training/synthetic",
]  # fmt: skip


@pytest.mark.parametrize("address", LISTS_OF_A_LOOP)
def test_a_parameter_that_is_given_twice_is_refused(callers: Callers, address: str) -> None:
    answer = callers.of("GET", address).send(query="?loop=care&loop=other")[0]
    assert answer.status_code == 422 and told(answer)["errors"] == {"loop": ["is given twice; give it once"]}


@pytest.mark.parametrize("address", LISTS_OF_A_LOOP)
def test_an_unknown_loop_in_a_query_is_refused_everywhere(callers: Callers, address: str) -> None:
    """A list of a misspelt loop would be empty and look like an answer."""
    caller = callers.of("GET", address)
    refused = caller.send(query="?loop=caer")[0]
    assert refused.status_code == 422 and told(refused)["type"] == "urn:r3al:problem:invalid-input"
    (sentence,) = told(refused)["errors"]["loop"]
    assert "no loop 'caer'" in sentence and "care" in sentence
    assert caller.send(query="?loop=care")[0].status_code == caller.send(query="?loop=")[0].status_code == 200


def test_every_address_whose_query_names_a_loop_is_among_them() -> None:
    paths = document()["paths"].items()
    naming = {path for path, of in paths for o in of.values() for p in o.get("parameters", ()) if p["name"] == "loop"}
    assert naming == {f"/api/{address}" for address in LISTS_OF_A_LOOP}


@pytest.mark.parametrize(("method", "address"), WRITING)
def test_a_name_that_occurs_twice_in_a_body_is_refused(caller: Caller) -> None:
    """The last value would win in silence: a consent to two things at once, a person named twice."""
    good = GOOD.get(caller.address, {})
    name = next(iter(good), "userId")
    text = json.dumps(good | {name: good.get(name, "ann")})
    twice = text[:-1] + f", {json.dumps(name)}: {json.dumps(good.get(name, 'ann'))}}}"
    for answer in caller.send(twice.encode()):
        assert answer.status_code in (400, 403), answer.content
        if answer.status_code == 400:
            assert "twice" in told(answer)["detail"] and told(answer)["type"] == "urn:r3al:problem:malformed"


def test_a_name_within_an_object_and_one_that_is_spelled_with_an_escape(callers: Callers) -> None:
    caller = callers.of("POST", "v1/optima/decisions")
    inside = b'{"requestId": "r", "loop": "care", "context": {"mood": 0.1, "m\\u006fod": 0.9, "place": "home"}}'
    answer = caller.send(inside)[1]
    assert answer.status_code == 400 and "'mood' twice" in told(answer)["detail"]
    apart = b'{"signals": [{"id": "a", "type": "pulse", "at": "2025-06-03T12:00:00Z", "values": {"mood": 0.1}},'
    apart += b' {"id": "b", "type": "pulse", "at": "2025-06-03T12:00:00Z", "values": {"mood": 0.2}}], "loop": "care"}'
    signals = sent("POST", "/api/v1/signals", apart, Authorization=f"Token {caller.tokens[1]}")
    assert told(signals)["added"] == 2, "two objects may hold the same name"


@pytest.mark.parametrize(("method", "address"), EVERY)
def test_an_address_says_which_methods_it_takes(caller: Caller) -> None:
    taken = set(methods(URLS[caller.address]))
    taken |= {"HEAD"} if "GET" in taken else set()
    answer = sent("DELETE", caller.path, Authorization=f"Token {caller.tokens[0]}")
    assert answer.status_code == 405 and told(answer)["type"] == "urn:r3al:problem:method-not-allowed"
    assert set(answer["Allow"].replace(" ", "").split(",")) - {"OPTIONS"} == taken


@pytest.mark.parametrize(("method", "address"), [(m, a) for m, a in EVERY if m == "GET"])
def test_head_answers_like_get_without_a_body(caller: Caller) -> None:
    for token in caller.tokens:
        headers = {"Authorization": f"Token {token}"}
        got, head = (Client().generic(m, caller.path, headers=headers) for m in ("GET", "HEAD"))
        assert head.status_code == got.status_code and not head.content, caller.address
        assert head.headers["Content-Type"] == got.headers["Content-Type"]


def test_a_browser_shows_an_app_where_its_job_is(settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    answer = Client().get("/api/v1/training/models", headers={"Origin": "https://app.example"})
    shown = {name.strip() for name in answer["Access-Control-Expose-Headers"].split(",")}
    assert {"location", "retry-after", "allow", "date"} <= shown
