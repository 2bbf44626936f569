"""Serve a decision (Optima): read the person's serving state, compute the decision and commit it in one write."""

from __future__ import annotations

from core import clock
from core.errors import Conflict, NoConsent, NotFound
from deployments.services.serving.compute_decision import compute_decision
from deployments.services.serving.policy_cache import served_loop
from deployments.services.serving.request_keys import request_key
from deployments.services.serving.requests import DecisionRequest
from deployments.services.serving.responses import RenderedAnswer
from deployments.services.serving.shadow import shadow_offer
from deployments.services.serving.stored_decisions import replayed_answer
from privacy.models import Purpose
from privacy.selectors.keys import serving_state_opened
from privacy.services.people.authentication import Token, caller_of
from privacy.services.people.data_keys import ciphers
from privacy.services.records.serving_read import serving_read
from privacy.services.records.serving_write import LostRace, decision_write

_TRIES = 20


def decide(token: Token, request: DecisionRequest) -> RenderedAnswer:
    """Answer a request, idempotent by its id. Raises R3alError, and then writes nothing."""
    try:
        serving = served_loop(request.loop)
    except NotFound:
        caller_of(token)  # raises first for an unknown caller, who must not learn which loops exist
        raise
    population, loop_id = serving.spec.population, serving.loop_version.loop_id
    user_id, key, now = request.user_id, request_key(request), clock.now()
    for _ in range(_TRIES):
        person = serving_read(token, user_id=user_id, population=population, loop_id=loop_id, request_key=key)
        if not person.consent_mask & Purpose.PERSONALIZATION.bit:
            raise NoConsent("the person has not consented to personalization, so no decision may be made for them")
        if person.original is not None and (answer := replayed_answer(serving, person, request)) is not None:
            return answer
        if not person.wrapped:
            ciphers([person.person_id])
            continue
        opened = serving_state_opened(person, spec=serving.spec, loop_id=loop_id, now=now)
        decided, answer = compute_decision(serving, request, person, opened, key, now)
        try:
            decision_write(decided)
        except LostRace:
            continue
        if serving.shadows:
            shadow_offer(serving, decided)
        return answer
    raise Conflict("other requests kept changing the person's state; send the request again")
