"""Every endpoint of the API, taken from its addresses, is sent what nobody should send: no error of ours, and never a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern
from drf_spectacular.generators import SchemaGenerator
from knox.models import AuthToken

from deployments.services.serving.requests import DecisionRequest
from privacy.services.people.authentication import forget_callers
from r3al_project.api.answers import outcomes
from r3al_project.api.http.request_bodies import DEEPEST_JSON, LARGEST_JSON
from r3al_project.api.urls import urlpatterns
from tests.factories.care import CONTEXT, care_loop, person
from tests.factories.versions import ALWAYS_WALK, learned
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
PLAIN: dict[str, type[msgspec.Struct]] = {
    "v1/optima/decisions": DecisionRequest,
    "v1/optima/decisions/<uuid:decision>/activate": outcomes.ActivateBody,
    "v1/optima/decisions/<uuid:decision>/rewards": outcomes.RewardBody,
    "v1/signals": outcomes.SignalsBody,
    "v1/training/rewards/calculate": outcomes.CalculateBody,
}
GOOD: dict[str, Any] = {
    "v1/optima/decisions": {"requestId": "r", "loop": "care", "context": CONTEXT},
    "v1/optima/decisions/<uuid:decision>/rewards": {"rewardId": "r", "total": 0.1},
    "v1/signals": {
        "loop": "care",
        "signals": [{"id": "s", "type": "pulse", "at": "2025-06-03T12:00:00Z", "values": {}}],
    },
    "v1/auth/login": {"username": "root", "password": "wrong"},
    "v1/people": {"userId": "bob", "loop": "care"},
    "v1/me/erasure": {"confirm": False},
    "v1/training/anonymizations": {"dataType": "pulse", "technique": "generalization", "loop": "care"},
    "v1/privacy/releases/preview": {"dataType": "pulse", "technique": "generalization", "loop": "care"},
    "v1/training/models": {"modelType": "policy", "loop": "care"},
    "v1/training/synthetic": {"method": "mixture", "sampleCount": 100, "loop": "care"},
    "v1/training/models/<str:version>/rollback": {"reason": "r"},
    "v1/training/models/<str:version>/rollback/undo": {"reason": "r"},
    **{
        f"v1/training/rollouts/<int:rollout>/{act}": {"reason": "r"}
        for act in ("approve", "pause", "resume", "promote", "abort", "retry")
    },
    **{f"v1/approvals/<int:approval>/{act}": {"reason": "r"} for act in ("approve", "decline")},
    "v1/training/rewards/calculate": {"loop": "care", "sentimentBefore": 0.1},
}
WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 10**17, 10**400, 1e308, "", "x", "x" * 10_000, "\0", "\ud800", [], [None], {}, {"a": {"b": [1]}},
)  # fmt: skip


def endpoints() -> Iterator[tuple[str, str]]:
    """Method and address, as declared, of all but the documentation."""
    for pattern in urlpatterns:
        address = str(pattern.pattern)
        if address.startswith("v1/"):
            for method in methods(pattern):
                yield method, address


def methods(pattern: URLPattern) -> list[str]:
    view = getattr(pattern.callback, "cls", None)
    return ["POST"] if view is None else [m.upper() for m in ("get", "post", "put") if hasattr(view, m)]


EVERY = list(endpoints())
WRITING = [(m, a) for m, a in EVERY if m != "GET"]
READING = [(m, a) for m, a in EVERY if m == "GET"]


@dataclass(frozen=True)
class Callers:
    """A loop with a version of its policy, and the tokens of an administrator and of somebody's device."""

    version: ModelVersion
    tokens: list[str]

    def of(self, method: str, address: str) -> Caller:
        return Caller(method, address, self.version, self.tokens)


@dataclass(frozen=True)
class Caller:
    """Sends to one endpoint what it is given, as an administrator and as somebody's device."""

    method: str
    address: str
    version: ModelVersion
    tokens: list[str]

    @property
    def path(self) -> str:
        filled = self.address.replace("<uuid:decision>", str(uuid4())).replace(
            "<str:version>", f"model_{self.version.pk}"
        )
        return "/api/" + re.sub("<int:[a-z]+>", "1", filled)

    def send(self, body: bytes = b"", query: str = "", kind: str = "application/json", **headers: str) -> list[Any]:
        return [
            sent(self.method, f"{self.path}{query}", body, kind=kind, Authorization=f"Token {token}", **headers)
            for token in self.tokens
        ]


def sent(method: str, path: str, body: bytes = b"", kind: str = "application/json", **headers: str) -> Any:
    """The response, of which at least this holds: no error of ours, JSON or CSV, and a problem document where it is refused."""
    answer: Any = Client().generic(method, path, body, content_type=kind, headers=headers)
    assert answer.status_code < 500, (method, path, body[:200], answer.content[:200])
    if answer.status_code >= 400:
        assert answer["Content-Type"] == "application/problem+json", (method, path, body[:200], answer.content[:200])
        told = json.loads(answer.content)
        assert told["status"] == answer.status_code and told["detail"]
    elif answer.content:
        assert answer["Content-Type"].startswith(("application/json", "text/csv")), answer["Content-Type"]
    return answer


@pytest.fixture(autouse=True)
def as_often_as_one_likes(settings: Any) -> None:
    settings.AXES_ENABLED = False


@pytest.fixture(autouse=True)
def nobody_known_yet() -> None:
    forget_callers()


def callers_made() -> Callers:
    """Make the loop, its version and the tokens."""
    version = learned(care_loop(), "policy", ALWAYS_WALK)
    root = User.objects.create_superuser("root", password="a long pass phrase of tests")
    return Callers(version, [AuthToken.objects.create(root)[1], person("ann")[1]])


@pytest.fixture(scope="module")
def callers(rows_of_module: None) -> Callers:
    return callers_made()


@pytest.fixture
def caller(callers: Callers, method: str, address: str) -> Caller:
    return callers.of(method, address)


@cache
def schema() -> dict[str, Any]:
    generated: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return generated


def fields_of(address: str) -> list[str]:
    """The fields that an endpoint's body may have: by its type, or by the schema."""
    if address in PLAIN:
        return [f.encode_name for f in msgspec.structs.fields(PLAIN[address])]
    names = re.sub("<[a-z]+:([a-z]+)>", r"{\1}", address)
    found: list[str] = []
    for operation in schema()["paths"][f"/api/{names}"].values():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content:
            component = content["schema"]["$ref"].rpartition("/")[2]
            found += schema()["components"]["schemas"][component]["properties"]
    return found


def test_the_addresses_are_all_here() -> None:
    assert len(EVERY) > 25 and {a for _, a in WRITING} >= set(GOOD) and set(PLAIN) <= {a for _, a in EVERY}


@pytest.mark.parametrize(("method", "address"), WRITING)
class TestBodies:
    @pytest.mark.alone("embedded")
    def test_what_is_not_json(self, caller: Caller) -> None:
        for body in (b"{", b"nothing", b'{"a":}', b"\0", b'{"a": NaN}', b'{"a": 1e999}', b"[1, 2", b'"', b" "):
            assert {a.status_code for a in caller.send(body)} <= {400, 401, 403, 422}, body

    @pytest.mark.alone("embedded")
    def test_what_is_json_and_no_object(self, caller: Caller) -> None:
        for body in (b"[]", b"1", b'"text"', b"null", b"true", b"[{}]"):
            for answer in caller.send(body):
                assert answer.status_code in (401, 403, 422), (body, answer.content)

    @pytest.mark.alone("embedded")
    def test_what_is_nested_deeply(self, caller: Caller) -> None:
        inside = {"context": 0}
        for _ in range(DEEPEST_JSON + 1):
            inside = {"context": inside}  # type: ignore[dict-item]
        for body in (b"[" * 60_000, b'{"a":' * 12_000, json.dumps(inside).encode()):
            assert {a.status_code for a in caller.send(body)} <= {400, 401, 403, 422}

    def test_text_that_is_no_utf_8(self, caller: Caller) -> None:
        for name in ("loop", *fields_of(caller.address)):
            body = json.dumps(GOOD.get(caller.address, {}) | {name: "X"}).encode().replace(b'"X"', b'"\xff\xfe"')
            assert {a.status_code for a in caller.send(body)} <= {400, 401, 403, 422}, name

    @pytest.mark.alone("embedded")
    def test_a_body_of_five_megabytes(self, caller: Caller) -> None:
        for answer in caller.send(json.dumps({"loop": "x" * 5_000_000}).encode()):
            assert answer.status_code in (401, 403, 413), answer.content

    def test_a_field_that_is_not_known(self, caller: Caller) -> None:
        body = json.dumps(GOOD.get(caller.address, {}) | {"loopp": 1, "\0\ud800": 2}).encode()
        for answer in caller.send(body):
            assert answer.status_code in (401, 403, 422), answer.content

    def test_every_field_with_every_wrong_value(self, caller: Caller) -> None:
        good = GOOD.get(caller.address, {})
        for name in fields_of(caller.address):
            for value in WRONG:
                text = (
                    json.dumps(good | {name: value})
                    if value != 10**400
                    else json.dumps(good)[:-1] + f', "{name}": 1{"0" * 400}}}'
                )
                caller.send(text.replace("{,", "{").encode())

    @pytest.mark.alone("embedded")
    def test_another_kind_of_content(self, caller: Caller) -> None:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense"):
            caller.send(b"a=1", kind=kind)

    def test_an_idempotency_key_that_is_none(self, caller: Caller) -> None:
        body = json.dumps(GOOD.get(caller.address, {})).encode()
        for key in ("\xff", "k" * 101, "\x01"):
            caller.send(body, **{"Idempotency-Key": key})


@pytest.mark.parametrize(("method", "address"), READING)
def test_queries(caller: Caller) -> None:
    for name in ("loop", "modelType", "status", "technique", "page", "pageSize", "anything"):
        for value in ("%00", "%FF", "mind", "-1", "0", "1e9", "9" * 30, "%ED%A0%80", ""):
            caller.send(query=f"?{name}={value}")


@pytest.mark.parametrize(("method", "address"), EVERY)
def test_whoever_says_who_they_are_in_nonsense(caller: Caller) -> None:
    for header in ("", "Token", "Token ", "Token a b", "Token \xff\xfe", "Token \0", "Basic eDp5", "x" * 5_000):
        assert sent(caller.method, caller.path, b"{", Authorization=header).status_code in (400, 401)


@pytest.mark.alone("embedded")
@pytest.mark.parametrize(("method", "address"), EVERY)
def test_other_methods(caller: Caller) -> None:
    for method in ("PATCH", "DELETE", "TRACE"):
        headers = {"Authorization": f"Token {caller.tokens[0]}"}
        assert sent(method, caller.path, b"{}", **headers).status_code in (403, 405)


@pytest.mark.parametrize(
    "path",
    ["v1/nowhere", "", "v1/", "v1/optima/decisions/not-a-uuid/rewards", "v1/jobs/x", "v1/jobs/-1", f"v1/jobs/{'9' * 40}",
     "v1/training/models/model_%00", f"v1/training/models/model_{'9' * 40}", "v1/training/models/%FF", "v1/people/"],
)  # fmt: skip
def test_addresses_where_there_is_nothing(callers: Callers, path: str) -> None:
    caller = callers.of("GET", "v1/people")
    for method in ("GET", "POST"):
        answer = sent(method, f"/api/{path}", b"{}", Authorization=f"Token {caller.tokens[0]}")
        assert answer.status_code in (404, 405), answer.content


def test_pages_of_people_stay_pages() -> None:
    answer = Client().get("/nowhere")
    assert answer.status_code == 404 and answer["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("path", ["/api/v1/training/models", "/api/v1/training/rewards/calculate"])
def test_an_error_of_ours_is_a_problem_document_too_and_says_nothing(
    callers: Callers, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def broken(*arguments: Any, **names: Any) -> Any:
        raise RuntimeError("a secret")

    monkeypatch.setattr("r3al_project.api.models._check_known_head", broken)
    monkeypatch.setattr("r3al_project.api.outcomes.loop_version_current", broken)
    caller = callers.of("GET", "v1/training/models")
    client = Client(raise_request_exception=False)
    method = "POST" if path.endswith("calculate") else "GET"
    answer = client.generic(
        method, path, b"{}", content_type="application/json", headers={"Authorization": f"Token {caller.tokens[0]}"}
    )
    assert answer.status_code == 500 and answer["Content-Type"] == "application/problem+json"
    assert "secret" not in answer.content.decode() and "logged the error" in answer.content.decode()


def test_what_is_unknown_is_named_with_what_may_have_been_meant(callers: Callers) -> None:
    caller = callers.of("POST", "v1/training/models")
    body = {"modelType": "policy", "hyperparams": {"gama": 0.9}, "loop": "care"}
    told = json.loads(caller.send(json.dumps(body).encode())[0].content)
    assert told["errors"]["hyperparams.gama"] == ["is not known; did you mean gamma?"]
    told = json.loads(caller.send(json.dumps({"modeltype": "policy", "zzz": 1}).encode())[0].content)
    assert told["errors"]["modeltype"] == ["is not known; did you mean modelType?"]
    assert "the fields are modelType" in told["errors"]["zzz"][0]
    listed = sent("GET", "/api/v1/training/models?modeltype=tone", Authorization=f"Token {caller.tokens[0]}")
    assert listed.status_code == 422 and "did you mean modelType?" in listed.content.decode()
    assert LARGEST_JSON == 65_536
