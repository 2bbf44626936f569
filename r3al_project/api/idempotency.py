"""``Idempotency-Key``: a POST that is sent again does nothing again and gets the first answer."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from r3al_project.common.errors import Conflict, InputError
from r3al_project.jobs.models import IdempotentAnswer

KEPT = timedelta(days=1)
LONGEST = 100
Method = Callable[..., Response]


def idempotent(post: Method) -> Method:
    """Wrap a view's ``post``. With the header: the same key and body get the stored answer, another body an error (422), and of
    two at once one does it (the other: 409, try again). An answer that failed is not kept, so that it can be tried again.
    """

    @functools.wraps(post)
    def wrapped(view: Any, request: Request, *args: Any, **names: Any) -> Response:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return post(view, request, *args, **names)
        if len(key) > LONGEST:
            raise InputError(f"Idempotency-Key has at most {LONGEST} characters")
        body = hashlib.sha256(request.method.encode() + request.path.encode() + b"\0" + _body(request)).hexdigest()
        before = _begin(request.user, key, body)
        if before is not None:
            return _again(before, body)
        try:
            answer = post(view, request, *args, **names)
        except BaseException:
            IdempotentAnswer.objects.filter(user=request.user, key=key).delete()
            raise
        IdempotentAnswer.objects.filter(user=request.user, key=key).update(
            status=answer.status_code, answer=answer.data, location=answer.headers.get("Location", "")
        )
        return answer

    return wrapped


def _body(request: Request) -> bytes:
    import json

    return json.dumps(request.data, sort_keys=True, default=str).encode()


def _begin(user: Any, key: str, body: str) -> IdempotentAnswer | None:
    """Claim the key; what is there already is returned instead. Yesterday's keys are forgotten."""
    IdempotentAnswer.objects.filter(user=user, created_at__lt=timezone.now() - KEPT).delete()
    try:
        with transaction.atomic():
            IdempotentAnswer.objects.create(user=user, key=key, body_sha256=body)
    except IntegrityError:
        return IdempotentAnswer.objects.get(user=user, key=key)
    return None


def _again(before: IdempotentAnswer, body: str) -> Response:
    if before.body_sha256 != body:
        raise InputError("this Idempotency-Key was used with another request; use a new key")
    if before.status is None:
        raise Conflict("the first request with this Idempotency-Key is still being answered; try again in a moment")
    return Response(
        before.answer, status=before.status, headers={"Location": before.location} if before.location else {}
    )
