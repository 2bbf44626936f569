"""``POST /api/v1/optima/decisions``: plain, because serializers would cost more than the decision."""

from __future__ import annotations

import time

import msgspec
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from core.errors import R3alError, TooLarge
from core.problems import problem, problem_of
from deployments.services.serving.decide import decide
from deployments.services.serving.latency import latency_count
from deployments.services.serving.requests import DecisionRequest
from deployments.services.serving.responses import RenderedAnswer
from privacy.services.people.authentication import Token, caller_of, token_read

LARGEST_REQUEST = 64 * 1024
_decoder = msgspec.json.Decoder(DecisionRequest)


@csrf_exempt
def decisions(request: HttpRequest) -> HttpResponse:
    """Decide for one person. 200 with the answer, the same again for a retry; else a problem document and nothing written."""
    if request.method != "POST":
        return problem(405, "decisions are asked for with POST")
    large = int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST_REQUEST
    return decisions_answer(request.META.get("HTTP_AUTHORIZATION", ""), None if large else request.body)


def decisions_answer(authorization: str, body: bytes | None) -> HttpResponse:
    """The answer to a header and a body (None: too large to be read)."""
    began = time.perf_counter()
    try:
        answer = _answer(token_read(authorization), body)
    except msgspec.ValidationError as error:
        return problem(422, f"the body does not fit: {error}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return problem(400, f"the body is not JSON: {error}")
    except R3alError as error:
        return problem_of(error)
    latency_count(loop_id=answer.loop_id, version_id=answer.version_id, seconds=time.perf_counter() - began)
    return HttpResponse(answer.body, content_type="application/json")


def _answer(token: Token, body: bytes | None) -> RenderedAnswer:
    if body is None:
        caller_of(token)
        raise TooLarge(f"the body is larger than {LARGEST_REQUEST} bytes; a context is a few hundred")
    try:
        request = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        caller_of(token)  # somebody unknown is told that first
        raise
    return decide(token, request)
