"""Charges by many real processes on one PostgreSQL, some of them killed."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

from django.db import connection
from django.db.models import Count, Sum
from django.test.utils import CaptureQueriesContext

from core.errors import BudgetExceeded
from loops.models import LoopVersion
from privacy.models import LedgerEntry, Person, PrivacyBudget, Release
from privacy.services.budget import charge as ledger
from tests.factories.loops import loop_version
from tests.factories.people import add_people
from tests.factories.releases import reserve
from tests.fresh_database import create_tables
from tests.races import FORK, forked, in_processes, kill, kill_again_and_again, overtaken, scenarios, wait_for_quiet

ATTEMPTS, PEOPLE, EPSILON = 12, 60, 0.3


def main() -> dict[str, Any]:
    create_tables()
    return scenarios(
        statements,
        overlapping_cohorts,
        one_key,
        killed_between_charge_and_commit,
        killed_anywhere,
        consent_while_waiting,
        given=loop_version(),
    )


def statements(version: LoopVersion) -> list[str]:
    """What one charge says to the database about budgets."""
    fresh_people(version, 3)
    with CaptureQueriesContext(connection) as queries:
        reserve(version, key="statements", epsilon=EPSILON)
    return [q["sql"] for q in queries.captured_queries if "privacy_budget" in q["sql"]]


def overlapping_cohorts(version: LoopVersion) -> dict[str, Any]:
    """Every process charges random, overlapping folds; the day's cap allows each person three charges of .3."""
    fresh_people(version, PEOPLE)

    def work(process: int) -> Counter[str]:
        rng, outcome = random.Random(process), Counter[str]()
        for attempt in range(ATTEMPTS):
            low = rng.randrange(PEOPLE // 2) if attempt < ATTEMPTS - 3 else 0
            folds = (low, low + PEOPLE // 2 + (low == 0) * PEOPLE)
            try:
                reserve(version, key=f"race-{process}-{attempt}", folds=folds, epsilon=EPSILON)
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
        return Counter([f"release {reserve(version, key='the same', epsilon=EPSILON).pk}"])

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
        reserve(version, key="killed", epsilon=EPSILON)

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
            reserve(version, key=f"mortal-{name}-{i}", epsilon=0.01)

    kill_again_and_again(work, times=8, progress=Release.objects.count, within=0.2)
    empty = Release.objects.filter(key__startswith="mortal", entries__isnull=True).count()
    return {"releases": Release.objects.filter(key__startswith="mortal").count(), "without_entries": empty, **books()}


def consent_while_waiting(version: LoopVersion) -> dict[str, Any]:
    """A charge waits for a row on which consent is being withdrawn, and another whose budget is being spent."""
    ids = fresh_people(version, 3)

    def spend_and_withdraw() -> None:
        PrivacyBudget.objects.filter(pk=ids[0]).update(consent_mask=0)
        PrivacyBudget.objects.filter(pk=ids[1]).update(spent_day=1)

    waited, made = overtaken(spend_and_withdraw, lambda: reserve(version, key="waits", epsilon=1.0))
    charged = LedgerEntry.objects.filter(release=made).values_list("person_id", flat=True)
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
