"""Refuse requests that no endpoint could read rightly, before any endpoint sees them."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from core.problem_json import problem
from r3al_project.api.http.errors import is_api

_HEADERS = ("HTTP_AUTHORIZATION", "HTTP_IDEMPOTENCY_KEY")


class RequestGuard:
    """Middleware of the API.

    It answers 400 where a NUL would fail in the database, or a non-ASCII header in the token parser. It answers 411 for a
    body without a length, which Django would take for an empty one: a withdrawal of consent would be dropped in silence.
    (``http_door`` gives every body its length. Another server may not.) It also tells why ``http_door`` did not read a body.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if refusal := request.META.get("r3al.refusal"):
            status, detail = refusal
            return problem(status, detail) if is_api(request) else HttpResponse(detail, "text/plain", status)
        if not is_api(request):
            return self._get_response(request)
        if not request.META.get("CONTENT_LENGTH") and _has_body(request):
            return problem(411, "the request has a body but no Content-Length; send the length of the body in bytes")
        query = request.META.get("QUERY_STRING", "")
        if "%00" in query or "\0" in query:
            return problem(400, "the address holds a NUL character; remove it")
        if not all(_is_plain(request.META.get(name, "")) for name in _HEADERS):
            return problem(
                400, "the headers Authorization and Idempotency-Key may hold only printable ASCII characters"
            )
        return self._get_response(request)


def _has_body(request: HttpRequest) -> bool:
    """Return whether a request without a length carries a body: in chunks, or over HTTP/2."""
    if request.META.get("HTTP_TRANSFER_ENCODING"):
        return True
    stream = request.META.get("wsgi.input")
    return request.META.get("SERVER_PROTOCOL", "").startswith("HTTP/2") and stream is not None and bool(stream.read(1))


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
