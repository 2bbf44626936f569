"""What every operation may refuse for reasons that lie outside it is in the document, and is what it really answers.

A body that comes too slowly, a database that is away, a body that is too large, and logins that fail too often.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import Client

from core.problem_json import types_of_status
from r3al_project.api.http.request_bodies import LARGEST_JSON
from tests.r3al_project.api.documented import assert_documented, document
from tests.r3al_project.api.test_every_endpoint import callers_made
from tests.stack import Stack, web_processes

pytestmark = pytest.mark.django_db
LOGIN = "/api/v1/auth/login"
OPERATIONS = [
    (method.upper(), path, operation)
    for path, operations in document()["paths"].items()
    for method, operation in operations.items()
]
WITH_BODY = [(method, path) for method, path, _ in OPERATIONS if method != "GET"]


def address(path: str) -> str:
    return re.sub(r"\{\w+\}", "1", path.replace("{decision}", str(uuid4())))


def documented_statuses(status: int) -> set[tuple[str, str]]:
    """Operations that the document says may answer with a status."""
    return {(method, path) for method, path, operation in OPERATIONS if str(status) in operation["responses"]}


class TestTheDocument:
    def test_any_body_may_be_too_slow_or_too_large_and_the_database_may_be_away_from_all(self) -> None:
        assert len(OPERATIONS) > 30
        assert documented_statuses(503) == {(method, path) for method, path, _ in OPERATIONS}
        assert documented_statuses(408) == documented_statuses(413) == set(WITH_BODY)
        assert documented_statuses(429) == {("POST", LOGIN)}

    @pytest.mark.parametrize("status", [429, 503])
    def test_what_may_be_sent_again_says_when(self, status: int) -> None:
        for _, path, operation in OPERATIONS:
            if answer := operation["responses"].get(str(status)):
                header = answer["headers"]["Retry-After"]
                assert header["required"] and header["schema"] == {"type": "integer", "minimum": 1}, path

    def test_each_refusal_has_the_types_of_its_status_alone(self) -> None:
        for _, path, operation in OPERATIONS:
            for status, answer in operation["responses"].items():
                if status.isdigit() and int(status) >= 400:
                    ((kind, content),) = answer["content"].items()
                    name = content["schema"]["$ref"].rpartition("/")[2]
                    own = document()["components"]["schemas"][name]["properties"]
                    assert kind == "application/problem+json", path
                    assert own["type"]["enum"] == types_of_status(int(status)), (path, status)
                    assert own["status"]["enum"] == [int(status)]


class Heard(dict[str, str]):
    """An answer over a real socket, as ``assert_documented`` reads it."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        super().__init__({name.title(): value for name, value in answer.getheaders()})
        self.status_code, self.content = answer.status, answer.read()


def heard(client: http.client.HTTPConnection, method: str, path: str) -> Any:
    answer = Heard(client.getresponse())
    assert_documented(method, path, answer)
    return answer


class TestRealAnswers:
    @pytest.fixture
    def port(self, stack: Stack, tmp_path: Path) -> Iterator[int]:
        """A web process without a database."""
        away = "postgresql://nobody:secret@127.0.0.1:1/nothing"
        with web_processes(stack, tmp_path / "web.log", workers=1, DATABASE_URL=away, R3AL_BODY_SECONDS="1") as found:
            yield found

    @pytest.fixture
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {'x' * 64}", "Content-Type": "application/json"}

    def test_no_operation_answers_without_the_database(self, port: int, headers: dict[str, str]) -> None:
        for method, path, _ in OPERATIONS:
            body = json.dumps({"username": "ada", "password": "x"}) if path == LOGIN else None
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
                client.request(method, address(path), body, headers)
                answer = heard(client, method, address(path))
            assert answer.status_code == 503 and int(answer["Retry-After"]) >= 1, (path, answer.content)

    def test_no_operation_waits_for_a_body_that_does_not_come(self, port: int, headers: dict[str, str]) -> None:
        with ExitStack() as opened:
            waiting = []
            for method, path in WITH_BODY:
                client = opened.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)))
                client.putrequest(method, address(path))
                for name, value in (headers | {"Content-Length": "9"}).items():
                    client.putheader(name, value)
                client.endheaders(b"{")
                waiting.append((client, method, address(path)))
            assert {heard(*each).status_code for each in waiting} == {408}

    def test_the_body_of_a_method_that_has_none_is_not_waited_for(self, port: int, headers: dict[str, str]) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
            client.putrequest("GET", "/healthz")
            client.putheader("Content-Length", "9")
            client.endheaders()
            assert client.getresponse().status == 200


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_a_body_that_is_too_large_is_a_documented_413(method: str, path: str) -> None:
    caller = callers_made().of(method, "v1/people")
    large = json.dumps({"loop": "x" * (4 * LARGEST_JSON)}).encode()
    told = []
    for token in caller.tokens:
        answer: Any = Client().generic(
            method, address(path), large, "application/json", headers={"Authorization": f"Token {token}"}
        )
        assert_documented(method, address(path), answer)
        told.append(answer.status_code)
    assert 413 in told and set(told) <= {413, 403, 404}


def test_too_many_failed_logins_are_a_documented_429() -> None:
    for _ in range(settings.AXES_FAILURE_LIMIT + 1):
        body = json.dumps({"username": "ada", "password": "wrong"})
        answer: Any = Client().post(LOGIN, body, content_type="application/json")
        assert_documented("POST", LOGIN, answer)
    assert answer.status_code == 429 and int(answer["Retry-After"]) >= 1
