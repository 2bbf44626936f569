"""Serve ``POST /api/v1/optima/decisions`` as a plain view, because DRF's serializers would cost more than the decision."""

from __future__ import annotations

import time

from django.http import HttpResponse

from deployments.services.serving.decide import decide
from deployments.services.serving.latency import latency_count
from deployments.services.serving.requests import DecisionRequest
from privacy.services.people.authentication import Token
from r3al_project.api.http.plain_view import plain_view

LARGEST_REQUEST = 64 * 1024  # bytes


@plain_view(DecisionRequest, largest=LARGEST_REQUEST, advice="a context takes a few hundred")
def decisions(token: Token, request: DecisionRequest) -> HttpResponse:
    """Decide for one person and count the latency. A retry with the same ``requestId`` and body gets the same bytes."""
    began = time.perf_counter()
    rendered = decide(token, request)
    latency_count(loop_id=rendered.loop_id, version_id=rendered.version_id, seconds=time.perf_counter() - began)
    return HttpResponse(rendered.body, content_type="application/json")
