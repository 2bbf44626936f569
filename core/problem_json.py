"""Build error responses as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse, JsonResponse

from core.errors import (
    BudgetExceeded,
    Conflict,
    Forbidden,
    InputError,
    InsufficientData,
    NotFound,
    R3alError,
    TooLarge,
    Unauthorized,
)

STATUS: dict[type[R3alError], int] = {
    InputError: 422,
    NotFound: 404,
    Conflict: 409,
    BudgetExceeded: 409,
    InsufficientData: 409,
    Unauthorized: 401,
    Forbidden: 403,
    TooLarge: 413,
}

RETRY_SECONDS = 5
_LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


def problem(
    status: int,
    detail: str,
    *,
    title: str | None = None,
    errors: Mapping[str, Any] | None = None,
    retry_after: int = RETRY_SECONDS,
    **more: Any,
) -> HttpResponse:
    """Build a problem document. ``errors`` maps field names to their errors. ``more`` adds further members unchanged.

    Args: retry_after: seconds until the client should try again. Only a status that asks for a later try tells it.
    """
    body: dict[str, Any] = {"type": "about:blank", "title": title or HTTPStatus(status).phrase, "status": status}
    body |= {"detail": detail} | ({"errors": dict(errors)} if errors else {}) | more
    response = JsonResponse(body, status=status, content_type="application/problem+json")
    if status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = "Token"
    if status in _LATER:
        response["Retry-After"] = str(retry_after)
    return response


def problem_of(error: R3alError) -> HttpResponse:
    """Convert an expected error to a problem document."""
    return problem(status_of(error), str(error), **getattr(error, "members", {}))


def status_of(error: R3alError) -> int:
    """Return the HTTP status of an expected error, or 500 for an error class without one."""
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)
