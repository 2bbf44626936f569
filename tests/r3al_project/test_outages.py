"""While the database is away or busy, every door answers 503 with Retry-After and the log gets one line a request."""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from r3al_project.wsgi import application
from tests.factories.care import CONTEXT, care_loop, person
from tests.r3al_project.api.api_calls import URL
from tests.r3al_project.test_wsgi_fast_path import Answered, environ
from tests.stack import Stack, web_processes

BODY = json.dumps({"requestId": "r1", "loop": "care", "context": CONTEXT})
DOORS = [
    ("POST", URL, BODY),
    ("POST", "/api/v1/signals", json.dumps({"signals": []})),
    ("GET", "/api/v1/training/models", ""),
    ("POST", "/api/v1/auth/login", json.dumps({"username": "ada", "password": "x"})),
    ("GET", "/r3al/training-dashboard/", ""),
]


@pytest.mark.django_db(transaction=True)
def test_without_a_database_every_door_says_when_to_come_again(stack: Stack, tmp_path: Path) -> None:
    log, away = tmp_path / "web.log", "postgresql://nobody:secret@127.0.0.1:1/nothing"
    headers = {
        "Authorization": f"Token {'x' * 64}",
        "Content-Type": "application/json",
        "Cookie": f"sessionid={'a' * 32}",
    }
    with web_processes(stack, log, workers=1, DATABASE_URL=away) as port:
        before = log.read_text().count("\n")
        for number, (method, path, body) in enumerate(DOORS, start=1):
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
                client.request(method, path, body, headers)
                answer = client.getresponse()
                content = answer.read()
            assert answer.status == 503, (path, answer.status, content, log.read_text())
            assert int(answer.getheader("Retry-After") or 0) > 0
            assert b"secret" not in content and b"127.0.0.1:1" not in content
            assert log.read_text().count("\n") == before + number, log.read_text()
    assert "Traceback" not in log.read_text() and "secret" not in log.read_text()


@pytest.mark.embedded
@pytest.mark.django_db(transaction=True)
class TestBusySqlite:
    @pytest.fixture
    def token(self) -> Iterator[str]:
        care_loop()
        token = person("ann")[1]
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout=50")
        with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield token
            other.execute("ROLLBACK")
        connection.close()

    def test_a_decision_is_told_to_come_again_in_one_line(self, token: str, caplog: pytest.LogCaptureFixture) -> None:
        told = Answered(application, environ(token, BODY.encode()))
        assert told.status == 503 and int(told.headers["retry-after"]) > 0
        assert len(caplog.records) == 1 and caplog.records[0].exc_info is None

    def test_so_are_the_other_doors(self, token: str, caplog: pytest.LogCaptureFixture) -> None:
        client: Any = Client(raise_request_exception=False)
        told = client.put("/api/v1/me/consents", json.dumps({"training": False}), content_type="application/json",
                          headers={"Authorization": f"Token {token}"})  # fmt: skip
        page = client.post("/admin/login/", {"username": "ada", "password": "x"})
        assert told.status_code == page.status_code == 503
        assert int(told["Retry-After"]) > 0 and int(page["Retry-After"]) > 0
        assert len(caplog.records) == 2 and all(record.exc_info is None for record in caplog.records)
