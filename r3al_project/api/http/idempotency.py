"""Honour ``Idempotency-Key``: a repeated POST changes nothing and gets the first answer."""

from __future__ import annotations

import functools
import hmac
import json
from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from knox.crypto import hash_token
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from core import clock
from core.canonical_json import sorted_json
from core.digests import IDEMPOTENT_REQUEST, keyed
from core.durations import ANSWERS_KEPT
from core.errors import Conflict, InputError, KeyReused
from jobs.models import IdempotentAnswer
from privacy.services.people.tokens import device_token_replace

LONGEST_KEY = 100
Method = Callable[..., Response]
KEY_HEADER = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description=(
        f"At most {LONGEST_KEY} characters. A repeated request with the same key and body changes nothing and gets the first "
        "answer. Another body is refused with 422 (key-reused)."
    ),
)


class TokenAnswer(Response):
    """An answer about the holder of an ``account`` that may show a new token of theirs (``token``, ``expiry``).

    The token itself is not stored. A retry means that the first answer was lost, so it revokes that token and shows a new one.
    """

    def __init__(self, data: dict[str, Any], *, account: Any, token: str, expiry: Any, status: int) -> None:
        super().__init__(data | _shown(token, expiry), status=status)
        self.kept, self.account, self.token_digest = data, account, hash_token(token) if token else ""


def _shown(token: str, expiry: Any) -> dict[str, Any]:
    return {"token": token or None, "expiry": expiry}


def idempotent(post: Method) -> Method:
    """Wrap a view's ``post`` so that a repeated key and body get the stored answer. Another body gets an error (422).

    The change and the key are written in one transaction: a process that dies in between leaves neither, and a refusal is not
    stored. A second request that arrives meanwhile waits for the first and gets its answer. Only a keyed digest of the request
    is stored.
    """

    @functools.wraps(post)
    def wrapped(view: Any, request: Request, *args: Any, **names: Any) -> Response:
        key = key_of(request)
        if not key:
            return post(view, request, *args, **names)
        digest = _digest(request)
        IdempotentAnswer.objects.filter(user=request.user, created_at__lt=clock.now() - ANSWERS_KEPT).delete()
        try:
            with transaction.atomic():
                kept = _begin(request.user, key, digest)
                answer = post(view, request, *args, **names)
                _keep(kept, answer)
        except _KeyUsed:
            return _stored_answer(request.user, key, digest)
        return answer

    documented: Method = extend_schema(parameters=[KEY_HEADER])(wrapped)
    return documented


def key_of(request: Request) -> str:
    """Return the request's Idempotency-Key, or an empty text. Raises InputError for one that is too long."""
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > LONGEST_KEY:
        raise InputError(f"Idempotency-Key is longer than {LONGEST_KEY} characters; send a shorter one")
    return str(key)


def key_check(request: Request, key: str) -> str:
    """Return the address that was kept with the key; empty for a new key. For a view that keeps its answer itself.

    Raises KeyReused if the account used the key for another request within a day.
    """
    before = IdempotentAnswer.objects.filter(user=request.user, key=key).first() if key else None
    if before is None:
        return ""
    _check_same(before, _digest(request))
    return before.location


def key_keep(request: Request, key: str, location: str = "") -> None:
    """Keep the key of a request that was carried out, without its answer, for ``key_check``.

    location: the address of what it made, if a retry shall find it by the key.
    """
    if key:
        IdempotentAnswer.objects.get_or_create(
            user=request.user, key=key, defaults={"request_digest": _digest(request), "location": location}
        )


class _KeyUsed(Exception):
    """The account has used the key before."""


def _digest(request: Request) -> str:
    return keyed(IDEMPOTENT_REQUEST, request.method or "", request.path, sorted_json(request.data)).hex()


def _begin(user: Any, key: str, digest: str) -> IdempotentAnswer:
    try:
        with transaction.atomic():
            return IdempotentAnswer.objects.create(user=user, key=key, request_digest=digest)
    except IntegrityError:
        raise _KeyUsed from None


def _keep(kept: IdempotentAnswer, answer: Response) -> None:
    kept.status, kept.answer = answer.status_code, _as_sent(answer.data)
    kept.location = answer.headers.get("Location", "")
    if isinstance(answer, TokenAnswer):
        kept.answer, kept.about, kept.token_digest = _as_sent(answer.kept), answer.account, answer.token_digest
    kept.save()


def _as_sent(answer: Any) -> Any:
    """Return an answer as its JSON says it. The column's own encoder would cut times to milliseconds."""
    return json.loads(JSONRenderer().render(answer)) if answer is not None else None


@transaction.atomic
def _stored_answer(user: Any, key: str, digest: str) -> Response:
    before = IdempotentAnswer.objects.select_for_update().filter(user=user, key=key).first()
    if before is None:
        raise Conflict("the first request with this Idempotency-Key failed just now; send it again")
    _check_same(before, digest)
    if before.about is not None:
        return _with_new_token(before)
    headers = {"Location": before.location} if before.location else {}
    return Response(before.answer, status=before.status, headers=headers)


def _check_same(before: IdempotentAnswer, digest: str) -> None:
    if not hmac.compare_digest(before.request_digest, digest):
        raise KeyReused("this Idempotency-Key was used for a different request; use a new key")


def _with_new_token(before: IdempotentAnswer) -> Response:
    token, expiry = "", None
    if before.token_digest:
        assert before.about is not None  # a token is shown to nobody else
        token, expiry = device_token_replace(before.token_digest, before.about.person_account, issuer_id=before.user_id)
        before.token_digest = hash_token(token)
        before.save()
    return Response({**(before.answer or {}), **_shown(token, expiry)}, status=before.status)
