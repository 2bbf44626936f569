"""Serve frequent JSON endpoints as plain Django views, because DRF's serializers would cost more than the work itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from django.http import HttpRequest, HttpResponse

from core.errors import InputError, R3alError, TooLarge
from core.problem_json import problem, problem_of
from privacy.services.people.authentication import Token, caller_of, token_read
from r3al_project.api.http.misfits import check_names_once, misfit_of
from r3al_project.api.http.request_bodies import DEEPEST_JSON

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
        entries_apart: whether the body holds a list whose entries the handler reads itself (``EntryReader``).
    """

    csrf_exempt = True  # callers send a token, never a session cookie

    def __init__(
        self,
        handler: _Handler,
        body: type[Body],
        *,
        largest: int,
        advice: str,
        may_be_empty: bool = False,
        entries_apart: bool = False,
    ) -> None:
        self._handler, self._body, self._decoder = handler, body, msgspec.json.Decoder(body)
        self._largest, self._advice = largest, advice
        self._may_be_empty, self._entries_apart = may_be_empty, entries_apart

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
            return self._typed(raw or (b"{}" if self._may_be_empty else b""))
        except (InputError, TooLarge, msgspec.DecodeError, UnicodeDecodeError):
            caller_of(token)  # an unknown caller gets 401 and learns nothing about the body
            raise

    def _typed(self, raw: bytes) -> Body:
        """Decode a body. Raises InputError that names the field which does not fit, and DecodeError for what is no JSON."""
        try:
            decoded = self._decoder.decode(raw)
            check_names_once(raw, nested=not self._entries_apart)
        except msgspec.ValidationError as error:
            field, sentence = misfit_of(error, self._body, raw)
            raise InputError(f"{field or 'the body'} {sentence}", field=field or "body") from None
        except RecursionError:
            raise msgspec.DecodeError(f"it is nested deeper than {DEEPEST_JSON} levels") from None
        return decoded


def plain_view(body: type[Body], **options: Any) -> Callable[[_Handler], PlainView[Body]]:
    """Decorate a handler so that it becomes a ``PlainView`` of that body."""
    return lambda handler: PlainView(handler, body, **options)
