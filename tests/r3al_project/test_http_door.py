"""Bodies are read without a thread, within a limit and a time; slow clients and slow logins stop nobody else."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import reverse

from r3al_project.http_door import LONGEST_BODY, HttpDoor, environ_of
from r3al_project.lanes import hashes_password
from tests.factories.care import CONTEXT, care_loop, person
from tests.r3al_project.api.api_calls import URL
from tests.stack import Stack, web_processes

BODY = json.dumps({"requestId": "r1", "loop": "care", "context": CONTEXT}).encode()
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
SLOW_SOCKETS = 24  # eight took all threads of two processes


def head(token: str = "", *, path: str = URL, length: int | None = len(BODY)) -> bytes:
    """The head of a POST; without a length its body comes in chunks."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    sign = f"Authorization: Token {token}\r\n" if token else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{sign}Content-Type: application/json\r\n{framing}\r\n\r\n".encode()
    )


def answered(port: int, sent: bytes, seconds: float = 30.0) -> tuple[int, bytes]:
    """The status and the rest of the answer to what is sent, of which the server may not read all."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=seconds)) as connection:
        with suppress(OSError):
            connection.sendall(sent)
        return _read(connection)


def _read(connection: socket.socket) -> tuple[int, bytes]:
    got = b""
    try:
        while b"\r\n\r\n" not in got or not _is_whole(got):
            part = connection.recv(65536)
            if not part:
                break
            got += part
    except ConnectionResetError:
        pass
    return int(got.split(b" ", 2)[1]), got


def _is_whole(got: bytes) -> bool:
    start, _, body = got.partition(b"\r\n\r\n")
    return len(body) >= int(start.lower().split(b"content-length:")[1].split(b"\r\n")[0])


@pytest.mark.django_db(transaction=True)
class TestRealSockets:
    @pytest.fixture
    def port(self, stack: Stack, tmp_path: Path) -> Iterator[int]:
        care_loop()
        with web_processes(stack, tmp_path / "web.log", workers=1, R3AL_BODY_SECONDS="10") as found:
            yield found

    def test_slow_bodies_stop_neither_the_health_check_nor_decisions(self, port: int) -> None:
        _, token = person("ann")
        with ExitStack() as slow:
            opened = [
                slow.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
                for _ in range(SLOW_SOCKETS)
            ]
            for number, connection in enumerate(opened):
                path = URL if number % 2 else "/admin/login/"
                connection.sendall(head(token, path=path) + BODY[: number % 20])
            time.sleep(0.5)
            began = time.monotonic()
            assert answered(port, HEALTH)[0] == 200
            assert answered(port, head(token) + BODY)[0] == 200
            assert time.monotonic() - began < 8, "nobody waited for the slow bodies"
            assert {_read(connection)[0] for connection in opened} == {408}, "their time ends"

    def test_the_token_is_looked_at_before_the_body(self, port: int) -> None:
        for sent in (head(), head("x" * 64, length=100_000), head("x" * 64, length=LONGEST_BODY + 1)):
            assert answered(port, sent, seconds=8)[0] == 401, "no byte of the body was sent"
        assert answered(port, head("x" * 64, length=None), seconds=8)[0] == 401

    def test_the_limit_holds_however_the_body_comes(self, port: int) -> None:
        _, token = person("ann")
        assert answered(port, head(token, length=LONGEST_BODY + 1))[0] == 413
        assert answered(port, head(token, path="/api/v1/auth/login", length=LONGEST_BODY + 1))[0] == 413
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        assert answered(port, head(token, length=None) + chunk * 6)[0] == 413

    def test_a_body_over_http2_without_a_length_is_read(self, port: int) -> None:
        _, token = person("ann")
        with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connection:
            connection.sendall(http2_post(token, BODY))
            got = b""
            while b"requestId" not in got and (part := connection.recv(65536)):
                got += part
        assert b'"requestId":"r1"' in got.replace(b" ", b"")

    def test_a_body_that_breaks_off_is_answered_by_nobody(self, port: int) -> None:
        _, token = person("ann")
        with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connection:
            connection.sendall(head(token, length=None) + b"5\r\n{    ")
        assert answered(port, HEALTH)[0] == 200


def http2_post(token: str, body: bytes) -> bytes:
    """A POST over HTTP/2 (RFC 9113) without a content-length, its headers as HPACK literals."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    def literal(name: str, value: str) -> bytes:
        return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()

    fields = {":method": "POST", ":scheme": "http", ":path": URL, ":authority": "localhost",
              "authorization": f"Token {token}", "content-type": "application/json"}  # fmt: skip
    headers = b"".join(literal(*field) for field in fields.items())
    start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")
    return start + frame(1, 4, 1, headers) + frame(0, 1, 1, body)


class Exchange:
    """A request's protocol that keeps the answer, and whose body comes in parts."""

    def __init__(self, *parts: bytes) -> None:
        self.parts, self.status, self.body = parts, 0, b""
        self.headers: dict[str, str] = {}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body = status, dict(headers), body


def scope(path: str = URL, method: str = "POST", headers: Any = (), **more: Any) -> Any:
    given = {"proto": "http", "http_version": "1.1", "scheme": "http", "method": method, "path": path,
             "query_string": "a=1", "authority": None, "server": "127.0.0.1:80", "client": "192.0.2.1:5000"}  # fmt: skip
    return SimpleNamespace(**(given | more), headers=dict(headers))


class TestLanes:
    def test_logins_that_hash_slowly_hold_up_no_decision(self) -> None:
        hashing = threading.Event()

        def app(environ: Any, start: Any) -> list[bytes]:
            if environ["PATH_INFO"] != URL:
                assert hashing.wait(30)
            start("200 OK", [])
            return [b"done"]

        async def both() -> tuple[Exchange, list[Exchange]]:
            door = HttpDoor(app, refuse=lambda environ, look_up: "", seconds=1.0)
            logins, decision = [Exchange() for _ in range(12)], Exchange()
            waiting = [asyncio.create_task(door.__rsgi__(scope("/admin/login/"), login)) for login in logins]
            try:
                await asyncio.wait_for(door.__rsgi__(scope(), decision), timeout=20)
                assert not any(login.status for login in logins)
            finally:
                hashing.set()
            await asyncio.gather(*waiting)
            return decision, logins

        decision, logins = asyncio.run(both())
        assert decision.status == 200 and {login.status for login in logins} == {200}

    def test_more_logins_than_can_wait_are_told_to_come_again(self) -> None:
        hashing = threading.Event()

        def app(environ: Any, start: Any) -> list[bytes]:
            assert hashing.wait(30)
            start("200 OK", [])
            return []

        async def all_of_them() -> list[Exchange]:
            door = HttpDoor(app, refuse=lambda environ, look_up: "", seconds=1.0)
            logins = [Exchange() for _ in range(20)]
            waiting = [asyncio.create_task(door.__rsgi__(scope("/api/v1/auth/login"), login)) for login in logins]
            await asyncio.sleep(0.2)
            hashing.set()
            await asyncio.gather(*waiting)
            return logins

        refused = [login for login in asyncio.run(all_of_them()) if login.status != 200]
        assert len(refused) == 4
        assert all(login.status == 503 and int(login.headers["Retry-After"]) > 0 for login in refused)

    @pytest.mark.parametrize(
        "address", ["admin:login", "admin:password_change", "admin:auth_user_add", "admin:auth_user_password_change"]
    )
    def test_every_page_that_hashes_a_password_takes_the_lane_of_passwords(self, address: str) -> None:
        arguments = [1] if address.endswith("user_password_change") else []
        assert hashes_password(reverse(address, args=arguments)) and not hashes_password(URL)


class TestEnvironment:
    def test_a_header_with_an_underscore_cannot_pass_for_one_that_a_proxy_sets(self) -> None:
        found = environ_of(scope(headers={"x_forwarded_for": "203.0.113.9", "x-forwarded-proto": "https"}))
        assert "HTTP_X_FORWARDED_FOR" not in found and found["HTTP_X_FORWARDED_PROTO"] == "https"

    def test_paths_addresses_and_the_host_of_http2_are_as_wsgi_has_them(self) -> None:
        found = environ_of(scope("/é", http_version="2", authority="r3al.example.org", client="[2001:db8::1]:5000"))
        assert found["PATH_INFO"].encode("latin-1").decode() == "/é"
        assert found["HTTP_HOST"] == "r3al.example.org" and found["REMOTE_ADDR"] == "2001:db8::1"
