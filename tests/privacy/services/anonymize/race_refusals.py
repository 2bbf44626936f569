"""Anonymisations that people's records refuse, asked for by many real processes at once."""

from __future__ import annotations

from collections import Counter
from typing import Any

from core.errors import BudgetExceeded, Conflict, InsufficientData
from loops.models import LoopVersion
from privacy.models import Release, VaultEvent
from tests.factories.anonymize import GROUPS, TOO_MANY, make_world, run
from tests.fresh_database import create_tables
from tests.races import in_processes, scenarios

ATTEMPTS = 3  # of each process


def main() -> dict[str, Any]:
    create_tables()
    return scenarios(answered, refused, given=make_world())


def answered(version: LoopVersion) -> dict[str, Any]:
    """Every process makes releases one after another; none is refused, and all together are more than a day's refusals."""
    return {"outcomes": outcomes(version, GROUPS), "releases": Release.objects.filter(state="committed").count()}


def refused(version: LoopVersion) -> dict[str, Any]:
    """Every process asks for groups larger than there are people, again and again, under keys of its own."""
    found = outcomes(version, TOO_MANY)
    return {"outcomes": found, "events": VaultEvent.objects.filter(kind="release", body__refused="rows").count()}


def outcomes(version: LoopVersion, wanted: Any) -> dict[str, int]:
    def work(process: int) -> Counter[str]:
        counted: Counter[str] = Counter()
        for attempt in range(ATTEMPTS):
            try:
                counted[run(version, wanted, key=f"{wanted.options['k']}-{process}-{attempt}").state] += 1
            except (BudgetExceeded, InsufficientData):
                counted["refused"] += 1
            except Conflict as error:
                counted["nothing told" if "a day" in str(error) else str(error)] += 1
        return counted

    return in_processes(work)
