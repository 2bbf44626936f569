"""People with budgets and one decision each, without going through an import."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from loops.models import LoopVersion
from privacy.models import Decision, Person, PrivacyBudget
from tests.factories.loops import POPULATION

UNIT = 1_000_000_000
ALL_CONSENTS = 7
ALL_FOLDS = (0, 10_000)


def add_people(version: LoopVersion, count: int, *, first: int = 0, decided: bool = True, **budget: Any) -> list[int]:
    """People whose folds run 0, 1, 2, ... from ``first``, with the default caps unless said otherwise. Their ids."""
    people = Person.objects.bulk_create(
        [Person(population=POPULATION, key=f"person-{i}", fold=i % 10_000) for i in range(first, first + count)]
    )
    today = datetime.now(UTC).date()
    columns = {**windows(today), **caps(1, 2, 4, 24), "rho_cap": UNIT, "consent_mask": ALL_CONSENTS, **budget}
    PrivacyBudget.objects.bulk_create([PrivacyBudget(person=p, **columns) for p in people])
    if decided:
        Decision.objects.bulk_create([_decision(version, p) for p in people])
    return [p.pk for p in people]


def windows(day: date) -> dict[str, Any]:
    return {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}


def caps(day: float, week: float, month: float, lifetime: float) -> dict[str, Any]:
    units = {"day": day, "week": week, "month": month, "lifetime": lifetime}
    return {f"cap_{window}": int(value * UNIT) for window, value in units.items()}


def _decision(version: LoopVersion, person: Person) -> Decision:
    at = datetime(2025, 1, 1, 9, tzinfo=UTC)
    return Decision(
        person=person,
        loop_version=version,
        row_key=person.pk.to_bytes(8, "little"),
        decided_at=at,
        local_day=at.date(),
        available=True,
        state=bytes(8),
    )
