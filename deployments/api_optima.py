"""``POST /api/v1/optima/decisions``: a plain view, because serializers would cost more than the decision."""

from __future__ import annotations

import time

import msgspec
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from deployments.services.context import Request
from deployments.services.latency import latency_count
from deployments.services.optima import decide
from privacy.services.callers import caller_of
from r3al_project.common.errors import R3alError
from r3al_project.common.problems import problem, problem_of

LARGEST = 64 * 1024
_decoder = msgspec.json.Decoder(Request)


@csrf_exempt
def decisions(request: HttpRequest) -> HttpResponse:
    """Decide for one person. 200 with the answer, the same again for a retry; else a problem document and nothing written."""
    began = time.perf_counter()
    if request.method != "POST":
        return problem(405, "decisions are asked for with POST")
    try:
        caller = caller_of(request)
        if int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST:
            return problem(413, f"the body is larger than {LARGEST} bytes; a context is a few hundred")
        told = decide(caller, _decoder.decode(request.body))
    except msgspec.ValidationError as error:
        return problem(422, f"the body does not fit: {error}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return problem(400, f"the body is not JSON: {error}")
    except R3alError as error:
        return problem_of(error)
    latency_count(loop_id=told.loop_id, version_id=told.version_id, seconds=time.perf_counter() - began)
    return HttpResponse(told.body, content_type="application/json")
