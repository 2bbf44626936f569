"""Every error of the API as a problem document."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.views import defaults
from rest_framework import exceptions

from core.errors import R3alError
from core.problems import problem, problem_of

_NOWHERE = "there is nothing at this address that you may see"


def handle(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's exception handler. None: not ours, so Django logs it and answers 500 without a word of it."""
    if isinstance(error, R3alError):
        return problem_of(error)
    if isinstance(error, RequestDataTooBig):
        return problem(413, "the body is larger than anything that is read here")
    if isinstance(error, exceptions.ValidationError):
        return problem(422, "some fields do not fit; see errors", errors=_fields(error.detail))
    if isinstance(error, (Http404, exceptions.NotFound)):
        return problem(404, _NOWHERE)
    if isinstance(error, (PermissionDenied, exceptions.PermissionDenied)):
        return problem(403, "your role does not allow this; an administrator can give you another")
    if isinstance(error, exceptions.NotAuthenticated):
        return problem(401, "send your token in the header Authorization: Token ...")
    if isinstance(error, exceptions.APIException):
        return problem(error.status_code, str(error.detail))
    return None


def _fields(detail: Any) -> dict[str, Any]:
    if isinstance(detail, dict):
        return {str(k): v if isinstance(v, dict) else [str(x) for x in v] for k, v in detail.items()}
    return {"body": [str(x) for x in detail]}


def is_api(request: HttpRequest) -> bool:
    """Whether somebody asks who reads problem documents, and no pages."""
    return f"{request.path_info}/".startswith("/api/")


# Django's own error pages, for what never reaches a view of the API or breaks in one.


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400."""
    return problem(400, "the request cannot be read") if is_api(request) else defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    said = "this request is not allowed"
    return problem(403, said) if is_api(request) else defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404."""
    return problem(404, _NOWHERE) if is_api(request) else defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500. What broke is in the log."""
    said = "something went wrong here and was noted; send the request again"
    return problem(500, said) if is_api(request) else defaults.server_error(request)
