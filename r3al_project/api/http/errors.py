"""Answer every error of the API with a problem document (RFC 9457)."""

from __future__ import annotations

import logging
import sys
from math import ceil
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views import defaults
from rest_framework import exceptions

from core.errors import R3alError
from core.outages import is_outage
from core.problem_json import RETRY_SECONDS, problem, problem_of

log = logging.getLogger(__name__)
_NOT_FOUND = "there is nothing at this address, or you may not see it"


def handle(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Turn an exception into a problem document. DRF calls this for every exception of a view.

    Returns None for an unexpected exception: Django then logs it and answers 500 without details.
    """
    if isinstance(error, R3alError):
        return problem_of(error)
    if isinstance(error, RequestDataTooBig):
        return problem(413, "the body is larger than this server reads; send a smaller one")
    if isinstance(error, exceptions.ValidationError):
        return problem(422, "some fields are not valid; errors says which and why", errors=_fields(error.detail))
    if isinstance(error, (Http404, exceptions.NotFound)):
        return problem(404, _NOT_FOUND)
    if isinstance(error, (PermissionDenied, exceptions.PermissionDenied)):
        return problem(403, "your role does not allow this; ask an administrator for another role")
    if isinstance(error, exceptions.NotAuthenticated):
        return problem(401, "the request has no token; send it in the header Authorization: Token ...")
    if isinstance(error, exceptions.Throttled):
        return problem(429, str(error.detail), retry_after=ceil(error.wait or RETRY_SECONDS))
    if isinstance(error, exceptions.APIException):
        return problem(error.status_code, str(error.detail))
    return None


def _fields(detail: Any, place: str = "") -> dict[str, list[str]]:
    """Return error sentences by field. An inner field is named like ``hyperparams.gamma``, a list's item like ``fields.0``."""
    if isinstance(detail, dict):
        inside = [_fields(inner, _within(place, str(name))) for name, inner in detail.items()]
        return {name: sentences for found in inside for name, sentences in found.items()}
    return {place or "body": [str(x) for x in detail]}


def _within(place: str, name: str) -> str:
    """Return the path of a field. ``body`` stands for the whole of what it is in."""
    return f"{place}.{name}" if place and name != "body" else place or name


def is_api(request: HttpRequest) -> bool:
    """Return whether a request is for the API, whose clients read problem documents instead of pages."""
    return f"{request.path_info}/".startswith("/api/")


# Django calls these for requests that never reach a view of the API, and for exceptions that no view handles.


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400 as a problem document, or as Django's page outside the API."""
    return problem(400, "the request cannot be read") if is_api(request) else defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403 as a problem document. Pages have a handler of their own."""
    return problem(403, "this request is not allowed")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404 as a problem document, or as Django's page outside the API."""
    return problem(404, _NOT_FOUND) if is_api(request) else defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 while the database is away or busy, else 500: a problem document, or a page outside the API.

    The log holds the exception, and of an outage one line for each request.
    """
    error = sys.exc_info()[1]
    if is_api(request):
        response = unexpected(error, request.path)
    elif is_outage(error):
        _log_outage(error, request.path)
        response = HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": str(RETRY_SECONDS)})
    else:
        return defaults.server_error(request)
    response._has_been_logged = is_outage(error)  # type: ignore[attr-defined]  # Django would add the traceback
    return response


def unexpected(error: BaseException | None, path: str) -> HttpResponse:
    """Turn an exception that no view handles into a problem document without its reason."""
    if is_outage(error):
        _log_outage(error, path)
        return problem(503, "the database is away or busy; send the request again")
    return problem(500, "the server failed and logged the error; send the request again")


def _log_outage(error: BaseException | None, path: str) -> None:
    reason = str(error).strip().partition("\n")[0]
    log.error("the database is away or busy: %s: %s", path, reason)
