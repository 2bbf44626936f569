"""The short way gives the answer of the usual one, and leaves to it whatever needs Django."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.http import HttpResponse
from django.urls import reverse

from r3al_project.api.decisions import LARGEST_REQUEST, decisions
from r3al_project.wsgi_fast_path import Environ, FastPath, _is_allowed
from tests.factories.apprentices import apprentice
from tests.factories.care import CONTEXT, care_loop, person
from tests.factories.shadows import worked_by_hand
from tests.factories.versions import ALWAYS_WALK, judged, learned
from tests.r3al_project.api.api_calls import URL

pytestmark = pytest.mark.django_db(transaction=True)
BODY = {"requestId": "r1", "loop": "care", "context": CONTEXT}


class Answered:
    """A WSGI application's answer."""

    def __init__(self, app: Any, environ: Environ) -> None:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            self.status, self.headers = int(status.split()[0]), {k.lower(): v for k, v in headers}

        self.body = b"".join(app(dict(environ), start))


def environ(token: str = "", body: bytes = b"", **more: str) -> Environ:
    return {
        "REQUEST_METHOD": "POST", "PATH_INFO": URL, "SCRIPT_NAME": "", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost", "HTTP_AUTHORIZATION": f"Token {token}",
        "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json", "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http", "wsgi.errors": io.StringIO(), **more,
    }  # fmt: skip


@pytest.fixture
def token() -> str:
    care_loop()
    return person("ada")[1]


def refused(environ: Environ, start_response: Any) -> list[bytes]:
    raise AssertionError("this request takes the short way")


def lane(app: Any = refused, answer: Any = decisions.answer) -> FastPath:
    _is_allowed.cache_clear()
    return FastPath(app, {URL: answer}, largest=LARGEST_REQUEST)


def test_it_is_the_path_of_the_usual_way() -> None:
    assert reverse("decisions") == URL


@pytest.mark.parametrize(
    "body", [json.dumps(BODY).encode(), b"{", b"[]", b'{"requestId": "r", "loop": "no"}', b" " * (LARGEST_REQUEST + 1)]
)
def test_both_ways_answer_alike(token: str, body: bytes) -> None:
    short = Answered(lane(), environ(token, body))
    usual = Answered(WSGIHandler(), environ(token, body))
    assert (short.status, short.body) == (usual.status, usual.body)
    assert short.headers == usual.headers


@pytest.mark.parametrize("own", [{"policy": "talk"}, {"policy": "sing"}, {"tone": "warm"}, "talk", {}])
def test_both_ways_serve_and_refuse_the_apps_own_choice_alike(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    worked_by_hand(monkeypatch)
    version = judged(learned(care_loop(), "policy", ALWAYS_WALK))
    _, token = person("ada")
    apprentice(version)
    body = json.dumps(BODY | {"ownChoice": own}).encode()
    short, usual = Answered(lane(), environ(token, body)), Answered(WSGIHandler(), environ(token, body))
    assert (short.status, short.body, short.headers) == (usual.status, usual.body, usual.headers)
    assert (b'"chosenBy":"app"' in short.body) == (own == {"policy": "talk"})


@pytest.mark.parametrize("body", [json.dumps(BODY).encode(), b"{", b'{"requestId": "r", "loop": "no"}'])
def test_somebody_unknown_learns_nothing_else_on_either(body: bytes) -> None:
    care_loop()
    for app in (lane(), WSGIHandler()):
        assert Answered(app, environ("x" * 64, body)).status == 401


@pytest.mark.parametrize(
    "more",
    [
        {"REQUEST_METHOD": "OPTIONS"},
        {"REQUEST_METHOD": "GET"},
        {"HTTP_ORIGIN": "https://app.example.org"},
        {"HTTP_HOST": "elsewhere.example.org"},
        {"CONTENT_LENGTH": ""},
        {"PATH_INFO": "/healthz"},
        {"QUERY_STRING": "loop=care"},
    ],
)
def test_what_needs_django_takes_the_usual_way(token: str, more: dict[str, str]) -> None:
    usual = []

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        usual.append(environ)
        start_response("204 No Content", [])
        return []

    assert Answered(lane(app), environ(token, json.dumps(BODY).encode(), **more)).status == 204 and usual


def test_where_https_is_required_plain_http_is_redirected_and_tls_at_the_proxy_believed(
    token: str, settings: Any
) -> None:
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 60
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    body = json.dumps(BODY).encode()
    assert Answered(lane(WSGIHandler()), environ(token, body)).status == 301
    secure = environ(token, body, HTTP_X_FORWARDED_PROTO="https")
    told = Answered(lane(), secure)
    assert told.status == 200 and told.headers["strict-transport-security"] == "max-age=60"
    assert told.headers == Answered(WSGIHandler(), environ(token, body, HTTP_X_FORWARDED_PROTO="https")).headers


def test_what_nobody_expected_is_a_problem_document_without_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    def answer(authorization: str, body: bytes | None) -> HttpResponse:
        raise RuntimeError("secret")

    told = Answered(lane(answer=answer), environ())
    assert told.status == 500 and json.loads(told.body)["status"] == 500 and b"secret" not in told.body
    assert "RuntimeError" in caplog.text


def test_a_connection_that_the_server_closed_is_replaced(token: str) -> None:
    """A restart of the database costs no request that only had to read."""
    app, body = lane(), json.dumps(BODY).encode()
    first = Answered(app, environ(token, body))
    if connection.vendor == "postgresql":
        _end_own_session()
    assert Answered(app, environ(token, body)).body == first.body


def _end_own_session() -> None:
    import psycopg

    pid = connection.connection.info.backend_pid
    with psycopg.connect(connection.connection.info.dsn, password=connection.settings_dict["PASSWORD"]) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
