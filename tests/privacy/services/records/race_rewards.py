"""Words that come at the deadline, and closing, by many real processes."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
from django.db import transaction
from django.utils import timezone

from loops.engine.spec import LoopSpec
from loops.models import LoopVersion
from privacy.models import Person, RewardEvent, RewardSignal, ServedDecision
from privacy.services.people.authentication import Caller
from privacy.services.records import close_outcomes
from privacy.services.records import rewards as outcomes
from privacy.services.records.rewards import RewardInput, reward_add
from tests.factories.decisions import decision, served
from tests.factories.loops import SOURCE, loop_version
from tests.factories.people import add_people
from tests.factories.sealed import outcome_of
from tests.fresh_database import create_tables
from tests.races import in_processes, kill_again_and_again, scenarios

RACED, KILLED, CLOSERS, SENDERS, KILLS = 40, 400, 4, 4, 8
LEADS, SLOWLY = (0.1, 0.25, 0.5, 4.0), 0.3  # seconds; a busy machine takes some before it looks at the clock
WORD = 0.001  # so that the sum of all words says how many there were


def main() -> dict[str, Any]:
    create_tables()
    source = SOURCE.replace('aggregate = "earliest"', 'aggregate = "sum"')
    return scenarios(words_at_the_deadline, closers_killed_anywhere, given=loop_version("sums", source=source))


def words_at_the_deadline(version: LoopVersion) -> dict[str, Any]:
    """Half of the processes send words whose deadline passes while they are written, the others close without a pause."""
    made = fresh_decisions(version, RACED)
    for one in made:
        send(one, "before")

    def work(process: int) -> Counter[str]:
        if process < CLOSERS:
            return _close_all()
        outcomes.harms = _slowly  # type: ignore[attr-defined]  # what is asked between finding that a word is in time and writing it
        told = Counter[str]()
        for turn, one in enumerate(made[process - CLOSERS :: SENDERS]):
            lead = timedelta(seconds=LEADS[turn % len(LEADS)])
            ServedDecision.objects.filter(pk=one.pk).update(closes_at=timezone.now() + lead)
            told["late" if send(one, "race") else "in time"] += 1
        return told

    told = in_processes(work)
    after = [send(one, "after") for one in made]
    return {"outcomes": told, "after_are_late": all(after), **books()}


def _slowly(spec: LoopSpec, label: str) -> bool:
    time.sleep(SLOWLY)
    return False


def _close_all() -> Counter[str]:
    closed = Counter[str]()
    while ServedDecision.objects.filter(closed_at__isnull=True).exists():
        closed["closed"] += close_outcomes.outcomes_close(limit=7)
        time.sleep(0.002)
    return closed


def closers_killed_anywhere(version: LoopVersion) -> dict[str, Any]:
    """Processes that do nothing but close, a few decisions at a time, are killed one after the other."""
    for one in fresh_decisions(version, KILLED):
        send(one, "before")
    ServedDecision.objects.update(closes_at=timezone.now() - timedelta(seconds=1))

    halves = []

    def work(_: int) -> None:
        close_outcomes.CLOSE_CHUNK = 3
        close_outcomes.outcomes_close()

    def look() -> None:
        halves.append(RewardSignal.objects.count() != ServedDecision.objects.filter(closed_at__isnull=False).count())

    kill_again_and_again(work, times=KILLS, progress=RewardSignal.objects.count, within=0.02, after_each=look)
    waiting = ServedDecision.objects.filter(closed_at__isnull=True).count()
    closed = close_outcomes.outcomes_close()
    return {"waiting_after_the_kills": waiting, "closed_then": closed, "half_closed": sum(halves), **books()}


def fresh_decisions(version: LoopVersion, count: int) -> list[ServedDecision]:
    Person.objects.all().delete()
    person, now = add_people(version, 1, decided=False)[0], timezone.now()
    state, made = np.zeros(len(version.spec.features)), []
    with transaction.atomic():
        for _ in range(count):
            one = decision(version, person, state, now)
            one.save()
            made.append(served(one, closes_at=now + timedelta(hours=1)))
    return made


def send(to: ServedDecision, name: str) -> bool:
    """A word of the person's own; whether it was late."""
    caller = Caller(user_id=0, person_id=to.person_id, may_serve=False)
    return reward_add(
        caller=caller, public_id=to.public_id, user_id=None, reward=RewardInput(name, total=WORD, label="thanks")
    ).late


def books() -> dict[str, Any]:
    """Decisions, how many are closed and how many outcomes there are; words by lateness; how many words the outcomes hold."""
    totals = [outcome_of(o)[0] for o in RewardSignal.objects.select_related("decision")]
    return {
        "decisions": ServedDecision.objects.count(),
        "closed": ServedDecision.objects.filter(closed_at__isnull=False).count(),
        "outcomes_kept": len(totals),
        "in_time": RewardEvent.objects.filter(late=False).count(),
        "late": RewardEvent.objects.filter(late=True).count(),
        "learned": round(sum(totals) / WORD, 6),
    }
