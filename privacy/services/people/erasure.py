"""Erasing a person: their data key, their rows and their login go; totals of the ledger and a tombstone stay.

The tombstone is a keyed digest in place of the pseudonym. By it a backup that is restored can be erased again, and somebody who
registers anew is known to have spent what they spent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from core.digests import TOMBSTONE, keyed
from core.errors import Conflict, InputError
from privacy.models import (
    Consent,
    DataKey,
    Decision,
    LedgerEntry,
    Person,
    PersonAccount,
    PrivacyBudget,
    ReleaseRound,
    ServedDecision,
    ServingState,
    Signal,
    VaultKind,
)
from privacy.services.people.data_keys import ciphers
from privacy.services.vault.append import subject_of, vault_append

_CHUNK = 1_000


@dataclass(frozen=True)
class ErasureCounts:
    """What went: rows by kind, and stored exports that held rows of the person. ``releases``: the permanent ones they are in."""

    signals: int
    decisions: int
    exports: int
    releases: tuple[int, ...]


@transaction.atomic
def person_erase(*, person_id: int, source: str) -> ErasureCounts:
    """Erase a person, all or nothing. Raises Conflict for somebody who is erased already.

    Their data key is taken first, as by everything that adds to their records: who comes after finds neither key nor consent.
    Then their decisions, as closing takes them.
    """
    person = _taken(person_id)
    subject, releases = (
        subject_of(person),
        LedgerEntry.objects.filter(person=person).values_list("release_id", flat=True),
    )
    kept = tuple(sorted(set(releases)))
    DataKey.objects.filter(person=person).delete()
    signals, _ = Signal.objects.filter(person=person).delete()
    decided = Decision.objects.filter(person=person)
    decisions = decided.count()
    decided.delete()
    ServingState.objects.filter(person=person).delete()
    Consent.objects.filter(person=person).delete()
    exports = (
        ReleaseRound.objects.filter(release_id__in=kept, expires_at__isnull=False)
        .exclude(output=b"")
        .update(output=b"")
    )
    get_user_model().objects.filter(pk__in=PersonAccount.objects.filter(person=person).values("user_id")).delete()
    PrivacyBudget.objects.filter(person=person).update(consent_mask=0)
    Person.objects.filter(pk=person.pk).update(
        key=tombstone(population=person.population, key=person.key), erased_at=timezone.now()
    )
    body = {"source": source[:80], "releases": len(kept), "exports": exports}
    vault_append(kind=VaultKind.ERASURE, body=body, subject=subject)
    return ErasureCounts(signals=signals, decisions=decisions, exports=exports, releases=kept)


def _taken(person_id: int) -> Person:
    """The person with all that is theirs locked, in the order in which everything locks it. Raises Conflict."""
    if Person.objects.get(pk=person_id).erased_at is None:
        ciphers([person_id])  # somebody without a key is given one, so that there is something to wait for
    list(DataKey.objects.select_for_update().filter(person_id=person_id))
    PrivacyBudget.objects.select_for_update().get(person_id=person_id)
    person = Person.objects.select_for_update(no_key=True).get(pk=person_id)
    if person.erased_at is not None:
        raise Conflict("this person is erased already")
    list(ServedDecision.objects.select_for_update().filter(person=person).order_by("pk").values_list("pk", flat=True))
    return person


def tombstone(*, population: str, key: str) -> str:
    """What stands in place of a pseudonym (64 hexadecimal digits): a keyed digest of it."""
    return keyed(TOMBSTONE, population, key).hex()


def tombstones() -> list[str]:
    """All of them, a line each (population, tombstone, moment), to be kept beside the backups."""
    erased = Person.objects.filter(erased_at__isnull=False).order_by("pk")
    return [f"{p.population} {p.key} {p.erased_at:%Y-%m-%dT%H:%M:%S.%f%z}" for p in erased.iterator(chunk_size=_CHUNK)]


def tombstones_replay(lines: Iterable[str], *, source: str) -> int:
    """Erase everybody whom a list names and a restored backup brought back; returns how many. It can be run again.

    Who registered anew after the moment on their line stays. Raises InputError for a line that is none.
    """
    wanted = dict(_grave(number, line) for number, line in enumerate(map(str.strip, lines), 1) if line)
    people = Person.objects.filter(erased_at__isnull=True, population__in={w[0] for w in wanted}).order_by("pk")
    never = datetime.min.replace(tzinfo=UTC)
    back = [p.pk for p in people.iterator(chunk_size=_CHUNK) if p.created_at < wanted.get(_names(p), never)]
    for pk in back:
        person_erase(person_id=pk, source=source)
    return len(back)


def _grave(number: int, line: str) -> tuple[tuple[str, str], datetime]:
    """Population and tombstone of a line, and when they were erased."""
    try:
        names, key, moment = line.rsplit(" ", 2)
        return (names, key), datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%f%z")
    except ValueError:
        raise InputError(
            f"line {number} is no tombstone; lines are as `manage.py erase_user --tombstones` prints them"
        ) from None


def _names(person: Person) -> tuple[str, str]:
    return person.population, tombstone(population=person.population, key=person.key)


def restore_erased_person(population: str, keys: Collection[str]) -> None:
    """Give those among ``keys`` who were erased their pseudonym back: who registers anew has the budget that they had left."""
    graves = {tombstone(population=population, key=key): key for key in keys}
    for row in Person.objects.filter(population=population, key__in=graves).order_by("pk"):
        revived = Person.objects.filter(pk=row.pk, erased_at__isnull=False)
        revived.update(key=graves[row.key], erased_at=None, created_at=timezone.now())
