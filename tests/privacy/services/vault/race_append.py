"""The vault under many real processes on one PostgreSQL, some of them killed."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import asdict
from typing import Any

from django.db import transaction

from core.errors import BudgetExceeded
from loops.models import LoopVersion
from privacy.models import Person, Purpose, ServedDecision, VaultBatch, VaultEvent, VaultKind
from privacy.services.budget.charge import cohort_refund
from privacy.services.people.consent import consent_grant, consent_withdraw
from privacy.services.vault import sealed_decisions
from privacy.services.vault.append import vault_append
from privacy.services.vault.verify import vault_verify
from tests.factories.decisions import serve_many
from tests.factories.loops import loop_version
from tests.factories.people import add_people
from tests.factories.releases import reserve
from tests.fresh_database import create_tables
from tests.races import in_processes, kill_again_and_again, scenarios

ACTS, PEOPLE, DECISIONS = 25, 40, 1_500
MANY = 10**12


def main() -> dict[str, Any]:
    create_tables()
    return scenarios(
        first_events_at_once, acts_of_every_kind, sealed_by_all_at_once, sealers_killed_anywhere, given=loop_version()
    )


def vault() -> dict[str, Any]:
    return asdict(vault_verify()) | {"rows": VaultEvent.objects.count()}


def first_events_at_once(version: LoopVersion) -> dict[str, Any]:
    """Every process appends to a vault that has no head yet."""

    def work(process: int) -> Counter[str]:
        with transaction.atomic():
            vault_append(kind=VaultKind.BUDGET, body={"process": process})
        return Counter(["appended"])

    return {"outcomes": in_processes(work), **vault()}


def acts_of_every_kind(version: LoopVersion) -> dict[str, Any]:
    """Consents of overlapping people for several purposes, charges and refunds of overlapping cohorts, sealing: all at once."""
    caps: dict[str, Any] = dict.fromkeys(("cap_day", "cap_week", "cap_month", "cap_lifetime", "rho_cap"), MANY)
    people = add_people(version, PEOPLE, **caps)
    serve_many(version, people)

    def work(process: int) -> Counter[str]:
        rng, outcome = random.Random(process), Counter[str]()
        for number in range(ACTS):
            name = rng.choice(("consent", "consent", "charge", "seal"))
            _act(name, version, rng.sample(people, rng.randrange(1, PEOPLE)), f"{process}-{number}", rng)
            outcome[name] += 1
        return outcome

    return {"outcomes": in_processes(work), **vault()}


def _act(name: str, version: LoopVersion, people: list[int], key: str, rng: random.Random) -> None:
    if name == "seal":
        sealed_decisions.decisions_seal(limit=3)
    elif name == "consent":
        change = rng.choice((consent_grant, consent_withdraw))
        change(person_ids=people, purposes=rng.sample(list(Purpose), 2), source=key)
    else:
        try:
            release = reserve(version, key=key, folds=(0, rng.randrange(1, PEOPLE)), epsilon=0.01)
        except BudgetExceeded:  # everybody in it has withdrawn
            return
        cohort_refund(release=release)


def fresh_decisions(version: LoopVersion) -> None:
    Person.objects.all().delete()
    people = add_people(version, 10, first=1_000)
    with transaction.atomic():
        serve_many(version, people * (DECISIONS // 10))


def sealed() -> dict[str, Any]:
    """How often a leaf of a decision that is there lies in any batch, and how the batches count."""
    blobs = [bytes(b) for b in VaultBatch.objects.values_list("leaves", flat=True)]
    known = Counter(b[i : i + 32] for b in blobs for i in range(0, len(b), 32))
    rows = sealed_decisions.batch_rows(ServedDecision.objects.values_list("pk", flat=True))
    return {
        "times": sorted({known[leaf] for leaf in sealed_decisions.decision_leaves(rows).values()}),
        "decisions": len(rows),
        "waiting": ServedDecision.objects.filter(vault_batch__isnull=True).count(),
    }


def sealed_by_all_at_once(version: LoopVersion) -> dict[str, Any]:
    fresh_decisions(version)

    def work(process: int) -> Counter[str]:
        rounds = Counter[str]()
        while ServedDecision.objects.filter(vault_batch__isnull=True).exists():
            event = sealed_decisions.decisions_seal(limit=100)
            rounds["batches" if event else "nothing free"] += 1
            time.sleep(0 if event else 0.01)
        return rounds

    return {"outcomes": in_processes(work), "sealed": sealed(), **vault()}


def sealers_killed_anywhere(version: LoopVersion) -> dict[str, Any]:
    """Processes that do nothing but seal, a few decisions at a time, are killed one after the other."""
    fresh_decisions(version)

    def work(_: int) -> None:
        while sealed_decisions.decisions_seal(limit=7) is not None:
            pass

    began = VaultEvent.objects.count()
    kill_again_and_again(work, times=8, progress=VaultEvent.objects.count, within=0.1)
    killed_before_the_end = sealed()["waiting"]
    while sealed_decisions.decisions_seal() is not None:
        pass
    return {
        "killed_before_the_end": killed_before_the_end,
        "events": VaultEvent.objects.count() - began,
        "sealed": sealed(),
        "broken": vault_verify().broken,
    }
