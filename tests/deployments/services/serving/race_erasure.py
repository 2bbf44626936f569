"""People erased while the app decides for them, rewards, is heard and closes, by real processes."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

from django.utils import timezone

from core.errors import R3alError
from deployments.services.serving.decide import decide
from deployments.services.serving.requests import DecisionRequest
from privacy.models import DataKey, Decision, Person, RewardSignal, ServedDecision, ServingState, Signal
from privacy.services.people.authentication import Caller, token_read
from privacy.services.people.erasure import person_erase
from privacy.services.records.close_outcomes import outcomes_close
from privacy.services.records.rewards import RewardInput, reward_add
from privacy.services.records.signals import SignalInput, signals_add
from tests.factories.care import CONTEXT, care_loop, person
from tests.fresh_database import create_tables
from tests.races import PROCESSES, in_processes, wait_until

PEOPLE, WORKERS = 12, PROCESSES - 2


def main() -> dict[str, Any]:
    create_tables()
    loop = care_loop(deadline="1s")
    known = [person(f"p{i}") for i in range(PEOPLE)]

    def work(process: int) -> Counter[str]:
        if process == WORKERS:
            return _erase(known)
        if process > WORKERS:
            return _close(known)
        told = Counter[str]()
        for turn in range(10_000):
            left = [
                (pk, token) for pk, token in known if turn < 3 or Person.objects.filter(pk=pk, erased_at=None).exists()
            ]
            for pk, token in left:
                told.update(_live(loop, pk, token, f"{process}-{turn}"))
            if not left:
                break
        return told

    return {"told": in_processes(work), **left_over()}


def _live(loop: Any, pk: int, token: str, name: str) -> list[str]:
    """One person's moment: something is heard, decided and rewarded, or refused in words."""
    caller, told = Caller(user_id=0, person_id=pk, may_serve=False), []

    def attempt(what: str, act: Any) -> Any:
        try:
            done = act()
            told.append(what)
            return done
        except R3alError:
            told.append(f"{what} refused")

    heard = [SignalInput(name, "pulse", timezone.now(), {"mood": 0.1})]
    attempt("heard", lambda: signals_add(loop_version=loop, person_id=pk, signals=heard))
    request = DecisionRequest(request_id=name, loop="care", context={**CONTEXT})  # type: ignore[dict-item]
    answer = attempt("decided", lambda: decide(token_read(f"Token {token}"), request))
    if answer is not None:
        public_id = json.loads(answer.body)["decisionId"]
        word = RewardInput("w", total=0.1)
        attempt("rewarded", lambda: reward_add(caller=caller, public_id=public_id, user_id=None, reward=word))
    return told


def _erase(known: list[tuple[int, str]]) -> Counter[str]:
    """Erase everybody, once a decision of theirs has been closed while others are decided."""
    told = Counter[str]()
    wait_until(RewardSignal.objects.exists)
    for pk, _ in known:
        person_erase(person_id=pk, source="race")
        told["erased"] += 1
        time.sleep(0.02)
    return told


def _close(known: list[tuple[int, str]]) -> Counter[str]:
    told = Counter[str]()
    while Person.objects.filter(pk__in=[pk for pk, _ in known], erased_at=None).exists():
        told["closed"] += outcomes_close()
        time.sleep(0.02)  # or nobody else gets SQLite's one write lock
    return told


def left_over() -> dict[str, int]:
    """Rows of erased people: there must be none."""
    models = (DataKey, Signal, Decision, ServedDecision, ServingState, RewardSignal)
    return {model.__name__: model.objects.count() for model in models}
