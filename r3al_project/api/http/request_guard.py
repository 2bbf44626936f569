"""Refuse requests with characters that no name, token or key of the API has, before any endpoint sees them."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from core.problem_json import problem
from r3al_project.api.http.errors import is_api

_HEADERS = ("HTTP_AUTHORIZATION", "HTTP_IDEMPOTENCY_KEY")


class RequestGuard:
    """Middleware that answers 400 where a NUL would fail in the database, or a non-ASCII header in the token parser."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_api(request):
            return self._get_response(request)
        query = request.META.get("QUERY_STRING", "")
        if "%00" in query or "\0" in query:
            return problem(400, "the address holds a NUL character; remove it")
        if not all(_is_plain(request.META.get(name, "")) for name in _HEADERS):
            return problem(
                400, "the headers Authorization and Idempotency-Key may hold only printable ASCII characters"
            )
        return self._get_response(request)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
