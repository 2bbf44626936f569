"""``Idempotency-Key``: a POST that is sent again does nothing again and gets the first answer."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from r3al_project.common.errors import InputError
from r3al_project.jobs.models import IdempotentAnswer

KEPT = timedelta(days=1)
LONGEST = 100
Method = Callable[..., Response]
KEY_HEADER = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description="The same key and body again do nothing again and get the first answer.",
)


def idempotent(post: Method) -> Method:
    """Wrap a view's ``post``. With the header: the same key and body get the stored answer, another body an error (422).

    Act and key are one transaction: a process that dies in between leaves neither, a refusal is not kept, and of two requests at
    once the second waits for the first and gets its answer.
    """

    @functools.wraps(post)
    def wrapped(view: Any, request: Request, *args: Any, **names: Any) -> Response:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return post(view, request, *args, **names)
        if len(key) > LONGEST:
            raise InputError(f"Idempotency-Key has at most {LONGEST} characters")
        body = hashlib.sha256(f"{request.method} {request.path}\0".encode() + _body(request)).hexdigest()
        IdempotentAnswer.objects.filter(user=request.user, created_at__lt=timezone.now() - KEPT).delete()
        try:
            with transaction.atomic():
                kept = _begin(request.user, key, body)
                answer = post(view, request, *args, **names)
                kept.status, kept.answer = answer.status_code, answer.data
                kept.location = answer.headers.get("Location", "")
                kept.save()
        except _Known:
            return _again(IdempotentAnswer.objects.get(user=request.user, key=key), body)
        return answer

    documented: Method = extend_schema(parameters=[KEY_HEADER])(wrapped)
    return documented


class _Known(Exception):
    """The key was used before."""


def _body(request: Request) -> bytes:
    return json.dumps(request.data, sort_keys=True, default=str).encode()


def _begin(user: Any, key: str, body: str) -> IdempotentAnswer:
    try:
        with transaction.atomic():
            return IdempotentAnswer.objects.create(user=user, key=key, body_sha256=body)
    except IntegrityError:
        raise _Known from None


def _again(before: IdempotentAnswer, body: str) -> Response:
    if before.body_sha256 != body:
        raise InputError("this Idempotency-Key was used with another request; use a new key")
    return Response(
        before.answer, status=before.status, headers={"Location": before.location} if before.location else {}
    )
