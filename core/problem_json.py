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
    KeyReused,
    NoConsent,
    NotFound,
    NothingToShow,
    R3alError,
    RefusedElsewhere,
    TooLarge,
    TooManyRewards,
    Unauthorized,
)

TYPE_PREFIX = "urn:r3al:problem:"
# Expected errors -> status and name of the problem's type. A class stands before the classes that it is derived from.
KINDS: dict[type[R3alError], tuple[int, str]] = {
    KeyReused: (422, "key-reused"),
    NothingToShow: (409, "nothing-to-show"),
    TooManyRewards: (409, "too-many-rewards"),
    NoConsent: (403, "no-consent"),
    RefusedElsewhere: (403, "refused-elsewhere"),
    InputError: (422, "invalid-input"),
    NotFound: (404, "not-found"),
    Conflict: (409, "conflict"),
    BudgetExceeded: (409, "budget-exceeded"),
    InsufficientData: (409, "insufficient-data"),
    Unauthorized: (401, "unauthorized"),
    Forbidden: (403, "forbidden"),
    TooLarge: (413, "too-large"),
}
# Names of the types of problems that no error class stands for, by status.
_BY_STATUS = {status: name for status, name in KINDS.values() if status not in (409, 422)} | {
    400: "malformed", 403: "forbidden", 405: "method-not-allowed", 406: "not-acceptable", 408: "too-slow", 409: "conflict",
    411: "length-required", 415: "unsupported-media-type", 422: "invalid-input", 429: "too-many-requests",
    500: "server-error", 503: "unavailable",
}  # fmt: skip
_OTHER = "other"
LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)  # statuses that carry Retry-After
# Every type that a problem may have. A client may branch on them: none is renamed, and none changes its meaning.
PROBLEM_TYPES = tuple(
    sorted(TYPE_PREFIX + name for name in {_OTHER, *_BY_STATUS.values(), *(name for _, name in KINDS.values())})
)

RETRY_SECONDS = 5


def types_of_status(status: int) -> list[str]:
    """Return every type that a problem of this status may have, sorted."""
    names = {name for known, name in KINDS.values() if known == status} | {_BY_STATUS.get(status, _OTHER)}
    return sorted(TYPE_PREFIX + name for name in names)


def problem(
    status: int,
    detail: str,
    *,
    name: str | None = None,
    title: str | None = None,
    errors: Mapping[str, Any] | None = None,
    retry_after: int = RETRY_SECONDS,
    **more: Any,
) -> HttpResponse:
    """Build a problem document.

    Args:
        name: name of its type. Default: the usual one of the status.
        errors: error sentences by field.
        retry_after: seconds until the client should try again. Only a status that asks for a later try tells it.
        more: further members, which are added unchanged.
    """
    kind = TYPE_PREFIX + (name or _BY_STATUS.get(status, _OTHER))
    body: dict[str, Any] = {"type": kind, "title": title or HTTPStatus(status).phrase, "status": status}
    body |= {"detail": detail} | ({"errors": dict(errors)} if errors else {}) | more
    response = JsonResponse(body, status=status, content_type="application/problem+json")
    if status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = "Token"
    if status in LATER:
        response["Retry-After"] = str(retry_after)
    return response


def problem_of(error: R3alError) -> HttpResponse:
    """Convert an expected error to a problem document."""
    status, name = next((kind for cls, kind in KINDS.items() if isinstance(error, cls)), (500, None))
    return problem(status, str(error), name=name, **getattr(error, "members", {}))
