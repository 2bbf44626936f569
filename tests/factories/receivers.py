"""Receivers of webhooks: real HTTP servers on this machine that answer as told, and note what they heard."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from notices.models import WebhookEndpoint
from notices.services.endpoints import endpoint_save

LOOPBACK = "127.0.0.0/8"
Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Heard:
    """One request: its headers in lower case and its body."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """``answers`` are used up in turn; the last one stays."""

    url: str
    answers: list[Answer]
    heard: list[Heard] = field(default_factory=list)

    def endpoint(self, name: str = "chat", **changed: Any) -> WebhookEndpoint:
        """A webhook that points here."""
        endpoint = WebhookEndpoint(**{"name": name, "url": self.url, **changed})
        endpoint_save(endpoint)
        return endpoint


def status(code: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = b"ann@example.org said: nobody may store this"
        handler.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def silence(seconds: float = 60.0) -> Answer:
    """Accept, and never answer."""
    return lambda handler: time.sleep(seconds)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte of the head at a time, so that no read ever times out."""
    try:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 600:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        handler.close_connection = True


@contextmanager
def receiver(*answers: Answer) -> Iterator[Receiver]:
    """A server that answers 204, or as told."""
    kept = Receiver("", list(answers) or [status(204)])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.heard.append(Heard({k.lower(): v for k, v in self.headers.items()}, body))
            (kept.answers.pop(0) if len(kept.answers) > 1 else kept.answers[0])(self)

        def log_message(self, *_: Any) -> None:
            pass

    with _served(Handler) as port:
        kept.url = f"http://127.0.0.1:{port}/hook?team=a"
        yield kept


@contextmanager
def _served(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def is_genuine(heard: Heard, secret: str) -> bool:
    """Verify a message as a receiver would without any library: HMAC-SHA-256 over id, time and body."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join([heard.id.encode(), heard.headers["webhook-timestamp"].encode(), heard.body])
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    recent = abs(time.time() - int(heard.headers["webhook-timestamp"])) < 300
    return recent and any(hmac.compare_digest(wanted, given) for given in heard.headers["webhook-signature"].split())
