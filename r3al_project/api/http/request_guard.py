"""What no endpoint can use is refused before any is asked: characters that no name, token or key here has."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from core.problems import problem
from r3al_project.api.http.errors import is_api

_HEADERS = ("HTTP_AUTHORIZATION", "HTTP_IDEMPOTENCY_KEY")


class RequestGuard:
    """Middleware. A NUL in a query would be an error of the database, another character than ASCII one of the token's reader."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_api(request):
            return self._get_response(request)
        query = request.META.get("QUERY_STRING", "")
        if "%00" in query or "\0" in query:
            return problem(400, "the address holds a NUL character; no name here has one")
        if not all(_is_plain(request.META.get(name, "")) for name in _HEADERS):
            return problem(400, "the headers Authorization and Idempotency-Key hold printable ASCII characters alone")
        return self._get_response(request)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
