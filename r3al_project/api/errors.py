"""Every error of the API as a problem document."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from rest_framework import exceptions

from r3al_project.common.errors import R3alError
from r3al_project.common.problems import problem, problem_of


def handle(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's exception handler. None: not ours, so Django logs it and answers 500 without a word of it."""
    if isinstance(error, R3alError):
        return problem_of(error)
    if isinstance(error, exceptions.ValidationError):
        return problem(422, "some fields do not fit; see errors", errors=_fields(error.detail))
    if isinstance(error, (Http404, exceptions.NotFound)):
        return problem(404, "there is nothing at this address that you may see")
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
