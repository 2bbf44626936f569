"""A decision follows from what was read and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.models import ServingSlot
from deployments.services.rollouts.slots import slots_seed
from deployments.services.serving.compute_decision import compute_decision
from deployments.services.serving.policy_cache import clear_policy_cache, served_loop
from deployments.services.serving.request_keys import request_key
from deployments.services.serving.requests import DecisionRequest
from loops.models import LoopVersion
from loops.services import loop_add
from privacy.models import ServedDecision
from privacy.selectors.keys import serving_state_opened
from privacy.services.people.authentication import caller_of, token_read
from privacy.services.records.serving_read import serving_read
from tests.factories.care import CONTEXT, TOML, care_loop, person
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


@pytest.mark.parametrize(
    ("delays", "deadline", "minutes"),
    [
        ("", "24h", 15),  # an action for now: the state that it answers is soon out of date
        ('best_delay = { walk = "30m" }', "24h", 75),
        ('best_delay = { walk = "6h" }', "24h", 12 * 60 + 15),
        ('best_delay = { walk = "6h" }', "8h", 8 * 60),  # no longer than its rewards count
    ],
)
def test_an_action_for_later_expires_later(delays: str, deadline: str, minutes: int) -> None:
    text = TOML.replace("RULES", "").replace("DEADLINE", deadline).replace("[reward]", f"[reward]\n{delays}")
    slots_seed(loop_version=loop_add(text=text, source="care.toml")[0])
    clear_policy_cache()
    serve(learned(LoopVersion.objects.get(), "policy", ALWAYS_WALK))
    ServingSlot.objects.update(exploration_bp=0)
    clear_policy_cache()
    told = ask(person("ada")[1], "r1").told
    served = ServedDecision.objects.get()
    assert told["actions"]["policy"]["action"] == "walk"
    assert served.expires_at - served.decision.decided_at == timedelta(minutes=minutes)
    assert datetime.fromisoformat(told["expiresAt"]) == served.expires_at <= served.closes_at
