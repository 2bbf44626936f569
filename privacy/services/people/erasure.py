"""Erase a person: delete their data key, their rows and their login. Ledger entries and a tombstone stay.

The tombstone is a keyed digest in place of the pseudonym. With it a restored backup can be erased again, and a person who
registers again keeps the record of their spent budget.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.contrib.auth import get_user_model
from django.db import models, transaction

from core import clock
from core.digests import TOMBSTONE, keyed
from core.errors import Conflict, InputError
from core.sqlite_wal import wal_truncate_on_commit
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
from privacy.services.people.data_keys import ciphers, person_advisory_lock
from privacy.services.vault.append import subject_of, vault_append
from privacy.services.vault.deleted_rows import exports_empty, removed_sums
from privacy.services.vault.stored_rows import ACCOUNTS, CONSENTS, EMPTIED, erased_entry, people_seal

_CHUNK = 1_000


class ErasureReason(models.TextChoices):
    """Reasons for an erasure, as the Trust Vault records them. A free text could describe the person for ever."""

    REQUEST = "request", "the person asked for it"
    CONSENT = "consent", "the person withdrew their consent"
    OBLIGATION = "obligation", "a law, a court or an authority demands it"
    NOT_A_PERSON = "not a person", "a test or an account that is no person"
    DUPLICATE = "duplicate", "the person is stored twice"


@dataclass(frozen=True)
class ErasureCounts:
    """The result of an erasure: numbers of deleted signals and decisions, and of emptied exports that held the person's rows.

    ``releases`` are the ids of the permanent releases that included the person.
    """

    signals: int
    decisions: int
    exports: int
    releases: tuple[int, ...]


@transaction.atomic
def person_erase(*, person_id: int, source: str, reason: ErasureReason = ErasureReason.REQUEST) -> ErasureCounts:
    """Erase a person in one transaction. Raises Conflict for a person who is already erased.

    The data key is locked first, in the order of every transaction that adds records: a later one finds neither key nor consent.
    Decisions are locked next, in the order of closing.
    """
    person = _locked(person_id)
    subject = subject_of(person)
    charges = LedgerEntry.objects.filter(person=person)
    releases = tuple(sorted(set(charges.values_list("release_id", flat=True))))
    decided = Decision.objects.filter(person=person)
    accounts = PersonAccount.objects.filter(person=person)
    removed = removed_sums(decided) | {
        CONSENTS.name: -CONSENTS.total(Consent.objects.filter(person=person)),
        ACCOUNTS.name: -ACCOUNTS.total(accounts),
    }
    DataKey.objects.filter(person=person).delete()
    signals, _ = Signal.objects.filter(person=person).delete()
    decisions = decided.count()
    decided.delete()
    ServingState.objects.filter(person=person).delete()
    Consent.objects.filter(person=person).delete()
    exports, emptied = exports_empty(ReleaseRound.objects.filter(release_id__in=releases, expires_at__isnull=False))
    get_user_model().objects.filter(pk__in=accounts.values("user_id")).delete()
    PrivacyBudget.objects.filter(person=person).update(consent_mask=0)
    _bury(person)
    wal_truncate_on_commit()
    vault_append(
        kind=VaultKind.ERASURE,
        body={"source": source[:80], "reason": reason.value, "releases": len(releases), "exports": exports},
        subject=subject,
        rows=erased_entry(person.pk),
        sums=removed | {EMPTIED.name: emptied},
    )
    return ErasureCounts(signals=signals, decisions=decisions, exports=exports, releases=releases)


def _bury(person: Person) -> None:
    """Replace a person's pseudonyms by tombstones. A backup may know them by either."""
    now, population = clock.now(), person.population
    first = tombstone(population=population, key=person.first_key) if person.first_key else ""
    key = tombstone(population=population, key=person.key)
    Person.objects.filter(pk=person.pk).update(key=key, first_key=first, erased_at=now, last_erased_at=now)
    people_seal(Person.objects.filter(pk=person.pk))


def _locked(person_id: int) -> Person:
    """Lock a person and their rows, in the order that every transaction uses. Raises Conflict for an erased person."""
    person_advisory_lock(person_id, shared=False)
    key = DataKey.objects.select_for_update().filter(person_id=person_id)
    # The full lock comes first: two erasures that both held the share lock of ``ciphers`` would wait for each other.
    if not list(key) and Person.objects.get(pk=person_id).erased_at is None:
        ciphers([person_id])  # creates a missing key, so that there is a row to lock
    list(key)
    PrivacyBudget.objects.select_for_update().get(person_id=person_id)
    person = Person.objects.select_for_update(no_key=True).get(pk=person_id)
    if person.erased_at is not None:
        raise Conflict("this person is already erased; nothing was changed")
    list(ServedDecision.objects.select_for_update().filter(person=person).order_by("pk").values_list("pk", flat=True))
    return person


def tombstone(*, population: str, key: str) -> str:
    """Return the tombstone (64 hexadecimal digits) that replaces a pseudonym: a keyed digest of it."""
    return keyed(TOMBSTONE, population, key).hex()


def tombstones() -> list[str]:
    """Return one line per erased person (population, tombstone, time of erasure), to store with the backups."""
    erased = Person.objects.filter(erased_at__isnull=False).order_by("pk")
    return [
        f"{p.population} {digest} {p.erased_at:%Y-%m-%dT%H:%M:%S.%f%z}"
        for p in erased.iterator(chunk_size=_CHUNK)
        for digest in (p.key, p.first_key)
        if digest
    ]


def tombstones_replay(lines: Iterable[str], *, source: str) -> int:
    """Erase the listed people whom a restored backup brought back. Returns their number. It can be run again.

    A person who registered again after the time on their line stays. Raises InputError for an invalid line.
    """
    listed = dict(_parse_line(number, line) for number, line in enumerate(map(str.strip, lines), 1) if line)
    people = Person.objects.filter(erased_at__isnull=True, population__in={key[0] for key in listed}).order_by("pk")
    never = datetime.min.replace(tzinfo=UTC)
    restored = [p.pk for p in people.iterator(chunk_size=_CHUNK) if p.created_at < listed.get(_line_key(p), never)]
    for pk in restored:
        person_erase(person_id=pk, source=source)
    return len(restored)


def _parse_line(number: int, line: str) -> tuple[tuple[str, str], datetime]:
    """Parse a line into (population, tombstone) and the time of erasure. Raises InputError for an invalid line."""
    try:
        population, digest, at = line.rsplit(" ", 2)
        return (population, digest), datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%f%z")
    except ValueError:
        raise InputError(
            f"line {number} is not a tombstone; use the lines that 'manage.py erase_user --tombstones' prints"
        ) from None


def _line_key(person: Person) -> tuple[str, str]:
    return person.population, tombstone(population=person.population, key=person.key)


def restore_erased_person(population: str, keys: Collection[str]) -> None:
    """Give erased people among ``keys`` their pseudonym back. A person who registers again has the budget they had left."""
    by_tombstone = {tombstone(population=population, key=key): key for key in keys}
    for row in Person.objects.filter(population=population, key__in=by_tombstone).order_by("pk"):
        erased = Person.objects.filter(pk=row.pk, erased_at__isnull=False)
        if erased.update(key=by_tombstone[row.key], first_key="", erased_at=None, created_at=clock.now()):
            people_seal(Person.objects.filter(pk=row.pk))


def erasure_times(*, population: str, keys: Iterable[str]) -> dict[str, datetime]:
    """Return the last erasure of each person among ``keys`` who was ever erased, also of one who registered again since."""
    people = Person.objects.filter(population=population, last_erased_at__isnull=False)
    buried = {tombstone(population=population, key=key): key for key in keys}
    rows = people.filter(key__in=[*buried, *buried.values()]).values_list("key", "last_erased_at")
    return {buried.get(key, key): at for key, at in rows if at is not None}
