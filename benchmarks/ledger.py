"""Measure the cost of charging budgets: a whole cohort in one statement against one transaction per person.

Both run on the same database in the same run. Both are durable (PostgreSQL with fsync and synchronous commit, SQLite with
synchronous=FULL), check consent and every cap, and write one ledger entry per person. The transaction per person has two
variants: idiomatic Django (lock the row, check, save, create the entry), which the check compares with, and minimal SQL (a
conditional UPDATE and an INSERT). Afterwards several processes charge overlapping cohorts concurrently against small caps. The
benchmark then counts the budgets over a cap, and the budgets that differ from the sum of their entries.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from benchmarks.common import Check, arguments, finish
from benchmarks.own_process import measured

PEOPLE, QUICK = 1_000_000, 50_000
RATIO, QUICK_RATIO = 300.0, 100.0
ONE_BY_ONE_SECONDS, PROCESSES, BURST = 10.0, 4, 25


def cell(kind: str, people: int) -> dict[str, Any]:
    """Measure one kind of database, in a separate process."""
    return measured(kind, "benchmarks.ledger", "--measure", str(people))


def measure(people: int) -> dict[str, Any]:
    """Measure people per second for each method, and count the overspent budgets afterwards."""
    from benchmarks.decisions_world import start_django

    start_django()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    version = fill(people)
    cohort = charge_cohort(version, people)
    django, sql = charge_by_django(version, people), charge_by_sql(version, people)
    burst(version)
    return {
        "database": connection.vendor,
        "people": people,
        "cohort_seconds": cohort,
        "cohort_people_a_second": people / cohort,
        "django_people_a_second": django,
        "sql_people_a_second": sql,
        "cohort_vs_per_user": people / cohort / django,
        "cohort_vs_least_sql": people / cohort / sql,
        "overspends": overspends(),
    }


def fill(people: int) -> Any:
    """Create a loop and this number of people, each with a budget, all consents, and a decision."""
    from django.db import connection

    from loops.selectors import loop_specs_builtin
    from loops.services import loop_add
    from privacy.engine.dp.accounting import NANO

    spec = loop_specs_builtin()["r3al"]
    version, _ = loop_add(text=spec.read_text(encoding="utf-8"), source=str(spec))
    population, postgresql = version.spec.population, connection.vendor == "postgresql"
    numbers = (
        "generate_series(1, %s) AS n(i)"
        if postgresql
        else "(WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %s) SELECT i FROM c) AS n"
    )
    day, now, key = (
        ("DATE '2025-01-06'", "now()", "decode(lpad(to_hex(i), 32, '0'), 'hex')")
        if postgresql
        else ("'2025-01-06'", "datetime('now')", "printf('%%016d', i)")
    )
    caps = ", ".join(str(units * NANO) for units in (10, 20, 40, 240))
    statements: list[tuple[str, list[Any]]] = [
        (
            "INSERT INTO persons (id, created_at, population, key, fold) "
            f"SELECT i, {now}, %s, 'p' || i, i %% 10000 FROM {numbers}",
            [population, people],
        ),
        (
            "INSERT INTO privacy_budget (person_id, consent_mask, spent_day, spent_week, spent_month, spent_lifetime, cap_day, "
            "cap_week, cap_month, cap_lifetime, day, week, month, rho_spent, rho_cap) "
            f"SELECT i, 7, 0, 0, 0, 0, {caps}, {day}, {day}, {day}, 0, {100 * NANO} FROM {numbers}",
            [people],
        ),
        (
            "INSERT INTO decisions (created_at, person_id, loop_version_id, row_key, decided_at, local_day, available, "
            f"dropped_out, state) SELECT {now}, i, %s, {key}, {now}, {day}, TRUE, FALSE, {key} FROM {numbers}",
            [version.pk, people],
        ),
    ]
    with connection.cursor() as cursor:
        for statement, values in statements:
            cursor.execute(statement, values)
        cursor.execute("ANALYZE")
    return version


def reserve(version: Any, key: str, folds: tuple[int, int], epsilon: float) -> Any:
    """Reserve a release through the platform's own service."""
    from privacy.models import Purpose
    from privacy.services.releases.lifecycle import release_reserve

    return release_reserve(
        key=key, loop_version=version, purpose=Purpose.TRAINING, folds=folds, epsilon=epsilon, delta=1e-6,
        mechanism="benchmark", parameters={},
    )  # fmt: skip


def charge_cohort(version: Any, people: int) -> float:
    """Return the seconds that one committed release takes to charge everybody."""
    from privacy.models import LedgerEntry

    began = time.perf_counter()
    release = reserve(version, "cohort", (0, 10_000), 1.0)
    took = time.perf_counter() - began
    if LedgerEntry.objects.filter(release=release).count() != people:
        raise SystemExit("the release did not charge everybody; its result is not a measurement")
    return took


def uncharged_release(version: Any, key: str) -> Any:
    """Create a release whose cost is charged to people one by one."""
    from privacy.engine.dp.accounting import NANO
    from privacy.models import Release

    return Release.objects.create(
        key=key, loop_version=version, purpose="training", technique="k_anonymity", mechanism="benchmark", policy_cost=NANO,
        guarantee="none: a measurement",
    )  # fmt: skip


def people_a_second(charge: Callable[[int], None], people: int) -> float:
    """Charge people one after the other for some seconds, and return the people per second."""
    began = time.perf_counter()
    for done in range(1, people + 1):
        charge(done)
        if time.perf_counter() - began > ONE_BY_ONE_SECONDS:
            break
    return done / (time.perf_counter() - began)


def charge_by_django(version: Any, people: int) -> float:
    """Return people per second in Django: lock the row, check consent and caps in Python, save the row, create its entry."""
    from django.db import transaction

    from privacy.engine.dp.accounting import NANO
    from privacy.models import LedgerEntry, PrivacyBudget
    from privacy.models.budget import WINDOWS

    release, rho = uncharged_release(version, "alone-django"), NANO // 20

    @transaction.atomic
    def charge(person: int) -> None:
        budget = PrivacyBudget.objects.select_for_update().get(pk=person)
        after = {f"spent_{w}": getattr(budget, f"spent_{w}") + NANO for w in WINDOWS}
        within_caps = all(after[f"spent_{w}"] <= getattr(budget, f"cap_{w}") for w in WINDOWS)
        if budget.consent_mask & 2 and within_caps and budget.rho_spent + rho <= budget.rho_cap:
            for name, value in after.items():
                setattr(budget, name, value)
            budget.rho_spent += rho
            budget.save()
            LedgerEntry.objects.create(release=release, person_id=person, policy_cost=NANO, rho=rho)

    return people_a_second(charge, people)


def charge_by_sql(version: Any, people: int) -> float:
    """Return people per second with minimal SQL: one conditional UPDATE and one INSERT in a transaction."""
    from django.db import connection, transaction

    from privacy.engine.dp.accounting import NANO

    release, cost, rho = uncharged_release(version, "alone-sql"), NANO, NANO // 20
    update = (
        "UPDATE privacy_budget SET spent_day = spent_day + %s, spent_week = spent_week + %s, spent_month = spent_month + %s, "
        "spent_lifetime = spent_lifetime + %s, rho_spent = rho_spent + %s WHERE person_id = %s AND (consent_mask & 2) > 0 AND "
        "spent_day + %s <= cap_day AND spent_week + %s <= cap_week AND spent_month + %s <= cap_month AND "
        "spent_lifetime + %s <= cap_lifetime AND rho_spent + %s <= rho_cap"
    )
    entry = "INSERT INTO ledger_entries (release_id, person_id, policy_cost, rho) VALUES (%s, %s, %s, %s)"

    def charge(person: int) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(update, [cost, cost, cost, cost, rho, person, cost, cost, cost, cost, rho])
            if cursor.rowcount:
                cursor.execute(entry, [release.pk, person, cost, rho])

    return people_a_second(charge, people)


def burst(version: Any) -> None:
    """Charge overlapping cohorts of some thousand people from several processes at once, far beyond their caps."""
    from django.db import connections

    connections.close_all()
    fork = multiprocessing.get_context("fork")
    running = [fork.Process(target=_charge_some, args=(version, number)) for number in range(PROCESSES)]
    for process in running:
        process.start()
    for process in running:
        process.join()
        if process.exitcode:
            raise SystemExit("a process of the burst failed; see its output above")


def _charge_some(version: Any, number: int) -> None:
    import random

    from core.errors import BudgetExceeded

    chance = random.Random(number)
    for turn in range(BURST):
        low = chance.randrange(0, 300)
        try:
            reserve(version, f"burst-{number}-{turn}", (low, low + 50), 1.0)
        except BudgetExceeded:
            continue


def overspends() -> int:
    """Count the budgets over a cap, and the budgets whose columns differ from the sum of their entries."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM privacy_budget b LEFT JOIN (SELECT person_id, sum(policy_cost) AS cost, sum(rho) AS rho FROM "
            "ledger_entries GROUP BY person_id) e ON e.person_id = b.person_id WHERE spent_day > cap_day "
            "OR spent_week > cap_week OR spent_month > cap_month OR spent_lifetime > cap_lifetime OR rho_spent > rho_cap "
            "OR spent_lifetime <> coalesce(e.cost, 0) OR rho_spent <> coalesce(e.rho, 0)"
        )
        return int(cursor.fetchone()[0])


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    people = QUICK if options.quick else PEOPLE
    rows = [cell(kind, people) for kind in ("postgresql", "sqlite")]
    for r in rows:
        print(
            f"{r['database']:>10}: {r['people']:,} people in one charge {r['cohort_seconds']:.1f} s "
            f"({r['cohort_people_a_second']:,.0f}/s); one by one {r['django_people_a_second']:,.0f}/s in Django "
            f"({r['cohort_vs_per_user']:.0f} times), {r['sql_people_a_second']:,.0f}/s with minimal SQL "
            f"({r['cohort_vs_least_sql']:.0f} times)"
        )
    bar = QUICK_RATIO if options.quick else RATIO
    checks = [
        Check("cohort_vs_per_user", rows[0]["cohort_vs_per_user"], bar),
        Check("overspends", float(sum(r["overspends"] for r in rows)), 0.0, at_most=True),
    ]
    finish("ledger", options, rows, checks)


if __name__ == "__main__":
    parser = arguments(__doc__, seeds=1)
    parser.add_argument(
        "--measure", type=int, help="measure with this number of people on the configured database (internal)"
    )
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure)))
    else:
        main(chosen)
