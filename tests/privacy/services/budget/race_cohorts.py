"""Reservations of 50 people each, begun at once by processes that are killed. 2,000 are 100,000 attempts to charge a person.

Cohorts overlap. Caps and the lifetime rho allow a part of the attempts only. Each person of a reservation that was begun is
one attempt; a reservation is one statement that charges each of them or leaves them out.
"""

from __future__ import annotations

import random
import time
from typing import Any

from django.db.models import F, Q

from core.errors import BudgetExceeded
from loops.models import LoopVersion
from privacy.engine.dp.accounting import calibrate
from privacy.models import LedgerEntry, PrivacyBudget, Release
from privacy.models.budget import WINDOWS
from tests.factories.loops import loop_version
from tests.factories.people import add_people
from tests.factories.releases import reserve
from tests.fresh_database import create_tables
from tests.privacy.services.budget.race_charge import books
from tests.races import FORK, forked, kill, wait_for_quiet

PEOPLE, COHORT, PROCESSES, LIVES = 400, 50, 6, 0.4
EPSILON = 0.01


def main(reservations: str) -> dict[str, Any]:
    wanted = int(reservations)
    create_tables()
    version = loop_version()
    charge = calibrate(epsilon=EPSILON, delta=1e-5, maximum=1.0)
    paid = wanted * 3 // 100  # charges that the day's cap allows a person, a quarter of the attempts
    cap = paid * charge.policy_nano
    ids = add_people(version, PEOPLE, cap_day=cap, cap_week=cap, cap_month=cap, cap_lifetime=cap)
    PrivacyBudget.objects.filter(pk__in=ids[::2]).update(rho_cap=2 * paid // 3 * charge.rho_nano)
    begun, deaths = rage(version, wanted)
    wait_for_quiet()
    return {"reservations": begun, "attempts": begun * COHORT, "deaths": deaths} | facts(ids)


def rage(version: LoopVersion, wanted: int) -> tuple[int, int]:
    """Processes charge random cohorts until all reservations were begun; one after the other is killed and replaced."""
    # A count for each place among the running, without a lock: whoever is killed would keep it for good.
    begun, rng = FORK.Array("q", PROCESSES, lock=False), random.Random(1)
    running = [forked(work, version, begun, wanted, place, place) for place in range(PROCESSES)]
    deaths = 0
    while sum(begun) < wanted:
        time.sleep(LIVES)
        place = rng.randrange(PROCESSES)
        kill(running[place])
        deaths += 1
        running[place] = forked(work, version, begun, wanted, place, PROCESSES + deaths)
    for process in running:
        process.join(60)
        if process.exitcode:
            raise SystemExit(f"a process ended with {process.exitcode}")
    return sum(begun), deaths


def work(version: LoopVersion, begun: Any, wanted: int, place: int, name: int) -> None:
    rng, number = random.Random(name), 0
    while sum(begun) < wanted:
        begun[place] += 1
        low, number = rng.randrange(0, PEOPLE - COHORT), number + 1
        try:
            reserve(version, key=f"rage-{name}-{number}", folds=(low, low + COHORT), epsilon=EPSILON)
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
