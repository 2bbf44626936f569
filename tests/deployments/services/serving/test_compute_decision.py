"""A decision follows from what was read and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deployments.services.serving.compute_decision import compute_decision
from deployments.services.serving.policy_cache import served_loop
from deployments.services.serving.request_keys import request_key
from deployments.services.serving.requests import DecisionRequest
from privacy.selectors.keys import serving_state_opened
from privacy.services.people.authentication import caller_of, token_read
from privacy.services.records.serving_read import serving_read
from tests.factories.care import CONTEXT, care_loop, person
from tests.factories.versions import ALWAYS_WALK, learned, serve
from tests.r3al_project.api.api_calls import ask

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 3, 4, 10, 11, 12, 345678, tzinfo=UTC)


def test_the_same_inputs_give_the_same_bytes_and_touch_no_database(django_assert_num_queries: Any) -> None:
    loop = care_loop()
    serve(learned(loop, "policy", ALWAYS_WALK))
    _, device = person("ada")
    ask(device, "before")
    serving, token = served_loop("care"), token_read(f"Token {device}")
    token = token._replace(caller=caller_of(token))
    request = DecisionRequest(request_id="r", loop="care", context=dict(CONTEXT))  # type: ignore[arg-type]
    key = request_key(request)
    read = serving_read(token, user_id=None, population=loop.loop.population, loop_id=loop.loop_id, request_key=key)
    opened = serving_state_opened(read, spec=serving.spec, loop_id=loop.loop_id, now=NOW)
    with django_assert_num_queries(0):
        first, second = (compute_decision(serving, request, read, opened, key, NOW) for _ in range(2))
    assert first == second
    decided, answer = first
    assert decided.intervened == (decided.choices[0].action != 0) and answer.version_id == decided.choices[0].version
