"""Words and closing by many real processes: ``python -m tests.privacy.services.race_outcomes`` prints facts as JSON."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

from tests.privacy.services.race import forked, in_processes, kill, wait_for_quiet, wait_until  # sets Django up
from tests.privacy.services.sealed import outcome_of, sealed_state

from django.conf import settings  # isort: skip
from django.core.management import call_command  # isort: skip
from django.db import connection, transaction  # isort: skip
from django.utils import timezone  # isort: skip

import numpy as np

from loops.engine.spec import LoopSpec
from loops.models import Loop, LoopVersion
from privacy.models import Decision, Person, RewardEvent, RewardSignal, ServedDecision
from privacy.services.people.authentication import Caller
from privacy.services.records import close_outcomes
from privacy.services.records import rewards as outcomes
from privacy.services.records.rewards import RewardInput, reward_add
from tests.privacy.services.people import SOURCE, add_people

RACED, KILLED, CLOSERS, SENDERS, KILLS = 40, 400, 4, 4, 8
LEADS, SLOWLY = (0.1, 0.25, 0.5), 0.3  # seconds; a busy machine takes some before it looks at the clock
WORD = 0.001  # so that the sum of all words says how many there were


def main() -> None:
    settings.MIGRATION_MODULES = dict.fromkeys((app.split(".")[-1] for app in settings.INSTALLED_APPS), None)
    call_command("migrate", run_syncdb=True, verbosity=0)
    loop = Loop.objects.create(name="sums")
    source = SOURCE.replace('aggregate = "earliest"', 'aggregate = "sum"')
    version = LoopVersion.objects.create(loop=loop, version=1, source=source, sha256="sums")
    scenarios = (words_at_the_deadline, closers_killed_anywhere)
    facts = {"vendor": connection.vendor} | {s.__name__: s(version) for s in scenarios}
    print(json.dumps(facts))


def words_at_the_deadline(version: LoopVersion) -> dict[str, Any]:
    """Half of the processes send words whose deadline passes while they are written, the others close without a pause."""
    served = fresh_decisions(version, RACED)
    for one in served:
        send(one, "before")

    def work(process: int) -> Counter[str]:
        if process < CLOSERS:
            return _close_all()
        outcomes.harms = _slowly  # type: ignore[attr-defined]  # what is asked between finding that a word is in time and writing it
        told = Counter[str]()
        for turn, one in enumerate(served[process - CLOSERS :: SENDERS]):
            lead = timedelta(seconds=LEADS[turn % len(LEADS)])
            ServedDecision.objects.filter(pk=one.pk).update(closes_at=timezone.now() + lead)
            told["late" if send(one, "race") else "in time"] += 1
        return told

    told = in_processes(work)
    after = [send(one, "after") for one in served]
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

    def work() -> None:
        close_outcomes.CLOSE_CHUNK = 3
        close_outcomes.outcomes_close()

    rng, halves = random.Random(5), 0
    for _ in range(KILLS):
        before = RewardSignal.objects.count()
        process = forked(work)
        wait_until(lambda before=before: RewardSignal.objects.count() > before)  # type: ignore[misc]
        time.sleep(rng.uniform(0.0, 0.02))
        kill(process)
        if connection.vendor == "postgresql":
            wait_for_quiet()
        halves += RewardSignal.objects.count() != ServedDecision.objects.filter(closed_at__isnull=False).count()
    waiting = ServedDecision.objects.filter(closed_at__isnull=True).count()
    closed = close_outcomes.outcomes_close()
    return {"waiting_after_the_kills": waiting, "closed_then": closed, "half_closed": halves, **books()}


def fresh_decisions(version: LoopVersion, count: int) -> list[ServedDecision]:
    Person.objects.all().delete()
    person, now = add_people(version, 1, decided=False)[0], timezone.now()
    state, made = np.zeros(len(version.spec.features)), []
    with transaction.atomic():
        for _ in range(count):
            row_key = uuid.uuid4().bytes
            decision = Decision.objects.create(
                person_id=person, loop_version=version, row_key=row_key, decided_at=now,
                local_day=now.date(), available=True, state=sealed_state(person, row_key, state),
            )  # fmt: skip
            served = ServedDecision.objects.create(
                decision=decision, person_id=person, request_key=uuid.uuid4().bytes, seed=uuid.uuid4().bytes,
                expires_at=now, closes_at=now + timedelta(hours=1),
            )  # fmt: skip
            made.append(served)
    return made


def send(served: ServedDecision, name: str) -> bool:
    """A word of the person's own; whether it was late."""
    caller = Caller(user_id=0, person_id=served.person_id, may_serve=False)
    return reward_add(
        caller=caller, public_id=served.public_id, user_id=None, reward=RewardInput(name, total=WORD, label="thanks")
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


if __name__ == "__main__":
    main()
