"""Charges by many real processes on one PostgreSQL: ``python -m tests.privacy.services.race`` prints facts as JSON.

Apart from the test process, so that its processes are forked from one without open connections and test databases.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "r3al_project.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, connections, transaction  # noqa: E402
from django.db.models import Count, Sum  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from core.errors import BudgetExceeded  # noqa: E402
from loops.models import LoopVersion  # noqa: E402
from privacy.models import LedgerEntry, Person, PrivacyBudget, Purpose, Release  # noqa: E402
from privacy.services.budget import charge as ledger  # noqa: E402
from privacy.services.releases.lifecycle import release_reserve  # noqa: E402
from tests.privacy.services.people import ALL_FOLDS, add_people, loop_version  # noqa: E402

PROCESSES, ATTEMPTS, PEOPLE = 8, 12, 60
FORK = multiprocessing.get_context("fork")


def main() -> None:
    settings.MIGRATION_MODULES = dict.fromkeys((app.split(".")[-1] for app in settings.INSTALLED_APPS), None)
    call_command("migrate", run_syncdb=True, verbosity=0)
    version = loop_version()
    scenarios = (
        statements,
        overlapping_cohorts,
        one_key,
        killed_between_charge_and_commit,
        killed_anywhere,
        consent_while_waiting,
    )
    facts = {"vendor": connection.vendor} | {s.__name__: s(version) for s in scenarios}
    print(json.dumps(facts))


def reserve(version: LoopVersion, key: str, folds: tuple[int, int] = ALL_FOLDS, epsilon: float = 0.3) -> Release:
    return release_reserve(
        key=key,
        loop_version=version,
        purpose=Purpose.TRAINING,
        folds=folds,
        epsilon=epsilon,
        delta=1e-5,
        mechanism="race",
        parameters={},
    )


def statements(version: LoopVersion) -> list[str]:
    """What one charge says to the database about budgets."""
    fresh_people(version, 3)
    with CaptureQueriesContext(connection) as queries:
        reserve(version, "statements")
    return [q["sql"] for q in queries.captured_queries if "privacy_budget" in q["sql"]]


def overlapping_cohorts(version: LoopVersion) -> dict[str, Any]:
    """Every process charges random, overlapping folds; the day's cap allows each person three charges of .3."""
    fresh_people(version, PEOPLE)

    def work(process: int) -> Counter[str]:
        rng, outcome = random.Random(process), Counter[str]()
        for attempt in range(ATTEMPTS):
            low = rng.randrange(PEOPLE // 2) if attempt < ATTEMPTS - 3 else 0
            try:
                reserve(version, f"race-{process}-{attempt}", (low, low + PEOPLE // 2 + (low == 0) * PEOPLE))
                outcome["charged"] += 1
            except BudgetExceeded:
                outcome["refused"] += 1
        return outcome

    outcomes = in_processes(work)
    charges = LedgerEntry.objects.values("person").annotate(n=Count("pk")).values_list("n", flat=True)
    return {"outcomes": outcomes, "charges_a_person": sorted(set(charges)), **books()}


def one_key(version: LoopVersion) -> dict[str, Any]:
    """All processes reserve under one key at once."""
    fresh_people(version, PEOPLE)

    def work(process: int) -> Counter[str]:
        return Counter([f"release {reserve(version, 'the same').pk}"])

    outcomes = in_processes(work)
    return {"releases": len(outcomes) if not any("Error" in o for o in outcomes) else outcomes, **books()}


def killed_between_charge_and_commit(version: LoopVersion) -> dict[str, Any]:
    """SIGKILL after the charge and before its commit: the worst moment."""
    fresh_people(version, PEOPLE)
    reached, charge = FORK.Event(), ledger._charge

    def stop_here(budgets: Any, release: Release) -> int:
        charge(budgets, release)
        reached.set()
        time.sleep(60)
        return 0

    def work() -> None:
        ledger._charge = stop_here
        reserve(version, "killed")

    process = forked(work)
    reached.wait(20)
    kill(process)
    wait_for_quiet()
    return {"reached": reached.is_set(), "releases": Release.objects.filter(key="killed").count(), **books()}


def killed_anywhere(version: LoopVersion) -> dict[str, Any]:
    """Processes that do nothing but charge are killed at random moments."""
    fresh_people(
        version, PEOPLE, cap_day=10**12, cap_week=10**12, cap_month=10**12, cap_lifetime=10**12, rho_cap=10**12
    )

    def work(name: int) -> None:
        for i in range(10_000):
            reserve(version, f"mortal-{name}-{i}", epsilon=0.01)

    rng = random.Random(5)
    for name in range(8):
        process = forked(work, name)
        wait_until(lambda name=name: Release.objects.filter(key__startswith=f"mortal-{name}-").exists())  # type: ignore[misc]
        time.sleep(rng.uniform(0.0, 0.2))
        kill(process)
    wait_for_quiet()
    empty = Release.objects.filter(key__startswith="mortal", entries__isnull=True).count()
    return {"releases": Release.objects.filter(key__startswith="mortal").count(), "without_entries": empty, **books()}


def consent_while_waiting(version: LoopVersion) -> dict[str, Any]:
    """A charge waits for a row on which consent is being withdrawn, and another whose budget is being spent."""
    ids = fresh_people(version, 3)
    made: list[Release] = []

    def charge() -> None:
        made.append(reserve(version, "waits", epsilon=1.0))
        connection.close()

    thread = threading.Thread(target=charge)
    with transaction.atomic():
        PrivacyBudget.objects.filter(pk=ids[0]).update(consent_mask=0)
        PrivacyBudget.objects.filter(pk=ids[1]).update(spent_day=1)
        thread.start()
        waited = wait_until(lambda: count("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
    thread.join(20)
    charged = LedgerEntry.objects.filter(release__in=made).values_list("person_id", flat=True)
    return {"waited": waited, "charged": [ids.index(pk) for pk in sorted(charged)]}


def fresh_people(version: LoopVersion, people: int, **budget: Any) -> list[int]:
    Person.objects.all().delete()
    return add_people(version, people, **budget)


def books() -> dict[str, Any]:
    """How the ledger and the spent columns compare, and the most that anybody spent of a window's cap."""
    spent = PrivacyBudget.objects.aggregate(day=Sum("spent_day"), lifetime=Sum("spent_lifetime"), rho=Sum("rho_spent"))
    entries = LedgerEntry.objects.aggregate(cost=Sum("policy_cost", default=0), rho=Sum("rho", default=0))
    unequal = [
        pk
        for pk, lifetime, cost in PrivacyBudget.objects.annotate(
            cost=Sum("person__ledger_entries__policy_cost", default=0)
        ).values_list("pk", "spent_lifetime", "cost")
        if lifetime != cost
    ]
    return {"spent": spent, "entries": entries, "unequal_people": len(unequal)}


def in_processes(work: Callable[[int], Counter[str]]) -> dict[str, int]:
    """Run ``work`` in all processes at once; what they counted, added up. An exception is counted by its name."""
    barrier, results = FORK.Barrier(PROCESSES), FORK.Queue()

    def run(process: int) -> None:
        barrier.wait(20)
        try:
            results.put(work(process))
        except Exception as error:
            results.put(Counter([f"Error {type(error).__name__}: {error}"]))

    processes = [forked(run, i) for i in range(PROCESSES)]
    total: Counter[str] = sum((results.get(timeout=60) for _ in processes), Counter())
    for process in processes:
        process.join(20)
    return dict(total)


def forked(work: Callable[..., None], *arguments: Any) -> Any:
    connections.close_all()  # a connection must not be shared with a fork
    process = FORK.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def kill(process: Any) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.join(20)


def wait_for_quiet() -> None:
    """Until the server has noticed that the killed clients are gone and has rolled them back."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    if not wait_until(lambda: count(others) == 0):
        sys.exit("a killed client's session is still open")


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


def count(query: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])


if __name__ == "__main__":
    main()
