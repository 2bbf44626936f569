"""Serve frequent JSON endpoints as plain Django views, because DRF's serializers would cost more than the work itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from django.http import HttpRequest, HttpResponse

from core.errors import InputError, R3alError, TooLarge
from core.problem_json import problem, problem_of
from privacy.services.people.authentication import Token, caller_of, token_read
from r3al_project.api.http.request_bodies import once_each

Body = TypeVar("Body")
_Handler = Callable[..., HttpResponse]


class PlainView(Generic[Body]):
    """Answer POST requests that carry a token and a JSON body of one type.

    Args:
        handler: takes the token, the decoded body and the parameters of the path. It authenticates the caller itself.
        body: msgspec type of the JSON body.
        largest: size limit of the body, in bytes.
        advice: tells the caller what to send instead of a body that is too large.
        may_be_empty: whether an empty body stands for an empty JSON object.
    """

    csrf_exempt = True  # callers send a token, never a session cookie

    def __init__(self, handler: _Handler, body: type[Body], *, largest: int, advice: str, may_be_empty: bool) -> None:
        self._handler, self._decoder = handler, msgspec.json.Decoder(body)
        self._largest, self._advice, self._may_be_empty = largest, advice, may_be_empty

    def __call__(self, request: HttpRequest, **path: Any) -> HttpResponse:
        """Answer a Django request. Any method but POST gets 405."""
        if request.method != "POST":
            refused = problem(405, "this address takes only POST requests")
            refused["Allow"] = "POST"
            return refused
        is_too_large = int(request.META.get("CONTENT_LENGTH") or 0) > self._largest
        body = None if is_too_large else request.body
        return self.answer(
            request.META.get("HTTP_AUTHORIZATION", ""), body, query=request.META.get("QUERY_STRING", ""), **path
        )

    def answer(self, authorization: str, raw: bytes | None, *, query: str = "", **path: Any) -> HttpResponse:
        """Answer an Authorization header and a body (None: too large to read). Expected errors become problem documents.

        A ``query`` is refused, because no plain view takes one.
        """
        try:
            token = token_read(authorization)
            return self._handler(token, self._decoded(token, raw, query), **path)
        except msgspec.ValidationError as error:
            return _misfit(str(error))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return problem(400, f"the body is not JSON: {error}")
        except R3alError as error:
            return problem_of(error)

    def _decoded(self, token: Token, raw: bytes | None, query: str) -> Body:
        try:
            if query:
                name = query.partition("=")[0][:40]
                raise InputError(
                    f"{name} is not known: this address takes no query; send everything in the body", field=name
                )
            if raw is None:
                raise TooLarge(f"the body is larger than {self._largest} bytes; {self._advice}")
            raw = raw or (b"{}" if self._may_be_empty else b"")
            decoded = self._decoder.decode(raw)
            _check_names_once(raw)
            return decoded
        except (InputError, TooLarge, msgspec.DecodeError, UnicodeDecodeError):
            caller_of(token)  # an unknown caller gets 401 and learns nothing about the body
            raise


def _misfit(reason: str) -> HttpResponse:
    """Answer 422 for a body that does not fit its type. The path at the end of msgspec's sentence names the field."""
    found = re.fullmatch(r"(.*) - at `(?:key in )?\$\.?(.*?)`", reason)
    sentence, path = (found[1], found[2]) if found else (reason, "")
    field = re.sub(r"\[(.*?)\]", r".\1", path).lstrip(".")
    return problem(422, f"the body does not fit: {reason}", errors={field or "body": [sentence]})


def _check_names_once(raw: bytes) -> None:
    """Raise DecodeError for an object that holds a name twice. msgspec would silently take the last value."""
    try:
        json.loads(raw, object_pairs_hook=once_each)
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from None


def plain_view(
    body: type[Body], *, largest: int, advice: str, may_be_empty: bool = False
) -> Callable[[_Handler], PlainView[Body]]:
    """Decorate a handler so that it becomes a ``PlainView`` of that body."""
    return lambda handler: PlainView(handler, body, largest=largest, advice=advice, may_be_empty=may_be_empty)
