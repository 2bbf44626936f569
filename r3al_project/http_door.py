"""Read requests without a thread, and answer each whole one in a thread through a WSGI application.

A WSGI server reads a body in the thread that answers it, so that a few slow clients stop all others. This application of the
RSGI protocol (granian) reads in the event loop instead, with a limit and a deadline. Bodies in chunks and over HTTP/2 arrive
at the WSGI application like any other: whole, and with their length.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Protocol

from core.problem_json import problem
from r3al_project.lanes import LaneFull, Lanes

RequestEnviron = dict[str, Any]
Headers = list[tuple[str, str]]
_WsgiApp = Callable[[RequestEnviron, Callable[..., Any]], Iterable[bytes]]
log = logging.getLogger(__name__)

LONGEST_BODY = 256 * 1024  # bytes of the largest body that any address takes
LONGEST_UNCHECKED = 16 * 1024  # bytes that are read before the database is asked for the token
REFUSAL = "r3al.refusal"  # a status and a sentence; no header of a request can have this name


class Scope(Protocol):
    """Describe a request of RSGI, as far as it is read here."""

    proto: str
    http_version: str
    scheme: str
    method: str
    path: str
    query_string: str
    authority: str | None
    server: str
    client: str
    headers: Any


class HttpProtocol(Protocol):
    """Read the body of an RSGI request, and answer it."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None: ...


class Refuse(Protocol):
    """Say why a body must not be read, or return an empty text."""

    def __call__(self, environ: RequestEnviron, *, look_up: bool) -> str: ...


class BodyRefused(Exception):
    """Report a body that is not read to its end, with the status of the answer."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class HttpDoor:
    """Serve a WSGI application. ``refuse`` sees a request before its body, which must arrive within ``seconds``."""

    def __init__(self, app: _WsgiApp, *, refuse: Refuse, seconds: float) -> None:
        self._app, self._refuse, self._seconds = app, refuse, seconds
        self._lanes = Lanes()

    async def __rsgi__(self, scope: Scope, protocol: HttpProtocol) -> None:
        """Answer one request."""
        environ = environ_of(scope)
        lane = self._lanes.of(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        try:
            try:
                environ |= _with_body(await self._read(environ, protocol))
            except BodyRefused as refused:
                environ |= _with_body(b"") | {REFUSAL: (refused.status, str(refused))}
            protocol.response_bytes(*await lane.run(self._answer, environ))
        except LaneFull:
            response = problem(503, "the server has too many requests to answer; send the request again")
            protocol.response_bytes(503, list(response.items()), response.content)

    async def _read(self, environ: RequestEnviron, protocol: HttpProtocol) -> bytes:
        """Return the whole body. Raises BodyRefused, LaneFull."""
        length = _declared_length(environ)
        if length == 0:
            return b""
        known = length is not None and length <= LONGEST_UNCHECKED
        lane = self._lanes.of(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        reason = self._refuse(environ, look_up=False)
        reason = reason or ("" if known else await lane.run(lambda: self._refuse(environ, look_up=True)))
        if reason:
            raise BodyRefused(401, reason)
        if length is not None and length > LONGEST_BODY:
            raise BodyRefused(413, _TOO_LARGE)
        return await self._received(protocol, length)

    async def _received(self, protocol: HttpProtocol, length: int | None) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in protocol:
                    body += chunk
                    if len(body) > LONGEST_BODY:
                        raise BodyRefused(413, _TOO_LARGE)
        except TimeoutError:
            raise BodyRefused(408, f"the body did not arrive within {self._seconds:g} seconds; send it again") from None
        if length is not None and len(body) != length:
            raise BodyRefused(400, "the connection ended before the whole body arrived; send it again")
        return bytes(body)

    def _answer(self, environ: RequestEnviron) -> tuple[int, Headers, bytes]:
        """Call the WSGI application in a thread of its own, and gather its whole answer."""
        head: list[Any] = []
        try:
            parts = self._app(environ, lambda status, headers, exc_info=None: head.extend((status, headers)))
            try:
                content = b"".join(parts)
            finally:
                if close := getattr(parts, "close", None):
                    close()
        except Exception:
            log.exception("Internal Server Error: %s", environ["PATH_INFO"])
            return 500, [("Content-Type", "text/plain")], b"the server failed and logged the error\n"
        return int(head[0].split(" ", 1)[0]), head[1], content


_TOO_LARGE = f"the body is larger than {LONGEST_BODY} bytes; send smaller batches"


def _declared_length(environ: RequestEnviron) -> int | None:
    """Return the length of the body: 0 for none, None for a length that the client does not say.

    A body of a method whose bodies have no meaning (RFC 9110) is not read.
    """
    if environ["REQUEST_METHOD"] in ("GET", "HEAD", "OPTIONS"):
        return 0
    given = environ.get("CONTENT_LENGTH", "")
    if given.isdecimal():
        return int(given)
    return None if "HTTP_TRANSFER_ENCODING" in environ or environ["SERVER_PROTOCOL"] == "HTTP/2" else 0


def _with_body(body: bytes) -> RequestEnviron:
    return {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}


def environ_of(scope: Scope) -> RequestEnviron:
    """Translate a request to a WSGI environment (PEP 3333) without its body.

    A header whose name has an underscore is dropped, because it would read like the one with a hyphen that a proxy sets.
    """
    host, _, port = scope.server.rpartition(":")
    environ: RequestEnviron = {
        "REQUEST_METHOD": scope.method, "SCRIPT_NAME": "", "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string, "SERVER_NAME": host, "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}", "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.version": (1, 0), "wsgi.url_scheme": scope.scheme, "wsgi.errors": sys.stderr, "wsgi.multithread": True,
        "wsgi.multiprocess": False, "wsgi.run_once": False, "wsgi.input_terminated": True,
    }  # fmt: skip
    for name, value in scope.headers.items():
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        separator = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value
    if scope.authority and "HTTP_HOST" not in environ:  # HTTP/2 has no Host
        environ["HTTP_HOST"] = scope.authority
    return environ
