"""2,000 reservations of 50 people each, begun at once by processes that are killed: 100,000 attempts to charge a person.

``python -m tests.privacy.services.race_charges`` prints facts as JSON, on the database of the environment. Cohorts overlap; caps
and the lifetime rho allow a part of the attempts only. Counted as attempts are the people of every reservation that was begun;
a reservation is one statement that charges each of them or leaves them out.
"""

from __future__ import annotations

import json
import random
import time
from typing import Any

from tests.privacy.services.race import FORK, books, forked, kill, reserve, wait_for_quiet  # sets Django up

from django.conf import settings  # isort: skip
from django.core.management import call_command  # isort: skip
from django.db import connection  # isort: skip
from django.db.models import F, Q  # isort: skip

from core.errors import BudgetExceeded
from loops.models import LoopVersion
from privacy.engine.dp.accounting import calibrate
from privacy.models import LedgerEntry, PrivacyBudget, Release
from privacy.models.budget import WINDOWS
from tests.privacy.services.people import add_people, loop_version

RESERVATIONS, PEOPLE, COHORT, PROCESSES, LIVES = 2_000, 400, 50, 6, 0.4
EPSILON, PAID = 0.01, 60  # charges that the day's cap allows a person; every second person's rho allows 40


def main() -> None:
    settings.MIGRATION_MODULES = dict.fromkeys((app.split(".")[-1] for app in settings.INSTALLED_APPS), None)
    call_command("migrate", run_syncdb=True, verbosity=0)
    version = loop_version()
    charge = calibrate(epsilon=EPSILON, delta=1e-5, maximum=1.0)
    cap = PAID * charge.policy_nano
    ids = add_people(version, PEOPLE, cap_day=cap, cap_week=cap, cap_month=cap, cap_lifetime=cap)
    PrivacyBudget.objects.filter(pk__in=ids[::2]).update(rho_cap=40 * charge.rho_nano)
    begun, deaths = rage(version)
    if connection.vendor == "postgresql":
        wait_for_quiet()
    told = {"vendor": connection.vendor, "reservations": begun, "attempts": begun * COHORT, "deaths": deaths}
    print(json.dumps(told | facts(ids)))


def rage(version: LoopVersion) -> tuple[int, int]:
    """Processes charge random cohorts until all reservations were begun; one after the other is killed and replaced."""
    begun, rng = FORK.Value("q", 0), random.Random(1)
    running = [forked(work, version, begun, name) for name in range(PROCESSES)]
    deaths = 0
    while begun.value < RESERVATIONS:
        time.sleep(LIVES)
        victim = rng.randrange(PROCESSES)
        kill(running[victim])
        deaths += 1
        running[victim] = forked(work, version, begun, PROCESSES + deaths)
    for process in running:
        process.join(60)
        if process.exitcode:
            raise SystemExit(f"a process ended with {process.exitcode}")
    return int(begun.value), deaths


def work(version: LoopVersion, begun: Any, name: int) -> None:
    rng, number = random.Random(name), 0
    while begun.value < RESERVATIONS:
        with begun.get_lock():
            begun.value += 1
        low, number = rng.randrange(0, PEOPLE - COHORT), number + 1
        try:
            reserve(version, f"rage-{name}-{number}", (low, low + COHORT), epsilon=EPSILON)
        except BudgetExceeded:
            continue


def facts(ids: list[int]) -> dict[str, Any]:
    """What must never be, counted; and how much was charged."""
    over = Q(rho_spent__gt=F("rho_cap"))
    for window in WINDOWS:
        over |= Q(**{f"spent_{window}__gt": F(f"cap_{window}")})
    releases = Release.objects.filter(key__startswith="rage")
    spent = PrivacyBudget.objects.filter(pk__in=ids)
    return {
        "over_a_cap": spent.filter(over).count(),
        "releases": releases.count(),
        "releases_without_a_charge": releases.filter(entries__isnull=True).count(),
        "charges_without_a_release": LedgerEntry.objects.exclude(release__in=Release.objects.all()).count(),
        "charges": LedgerEntry.objects.count(),
        "full": spent.filter(Q(spent_day=F("cap_day")) | Q(rho_spent=F("rho_cap"))).count(),
        **books(),
    }


if __name__ == "__main__":
    main()
