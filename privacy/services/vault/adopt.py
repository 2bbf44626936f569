"""Bring an installation under the Trust Vault: record what an earlier version stored, and the caps that new people get."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from django.db import transaction
from django.db.models import QuerySet

from privacy.models import Person, PrivacyBudget, Release, VaultBatch, VaultEvent, VaultKind
from privacy.selectors.default_caps import RHO_CAP, default_caps
from privacy.services.vault.append import vault_append, vault_lock
from privacy.services.vault.budget_checks import default_caps_entry
from privacy.services.vault.deleted_rows import SERVED
from privacy.services.vault.record_checks import tables
from privacy.services.vault.recorded import Recorded
from privacy.services.vault.sealed_decisions import LEAF, batch_rows, decision_leaves
from privacy.services.vault.stored_rows import CAPS, StoredRows, cohort_entry, erased_entry, people_seal

_ROWS_AN_EVENT = 50  # so that an event stays below 8 KB
_PEOPLE_A_CHUNK = 5_000
# The tables that the Trust Vault covered before its events said which.
FIRST_COVERED = ("release", "round", "consents", "outcomes", "decisions", "emptied", "version", "rollouts")


def vault_prepare() -> None:
    """Bring the installation under the Trust Vault's key, with every table that it covers. A second run changes nothing."""
    vault_adopt()
    coverage_extend()
    default_caps_record()


@transaction.atomic
def vault_adopt() -> int:
    """Record the rows of an installation whose chain no key protects yet. Returns the number of events written.

    It happens once, at an upgrade. Nothing is recorded again later, because a second adoption would hide a change.
    """
    if vault_lock().seal or not (VaultEvent.objects.exists() or Person.objects.exists() or Release.objects.exists()):
        return 0
    _people_seal()
    written, entries = 0, _entries()
    while rows := dict(islice(entries, _ROWS_AN_EVENT)):
        vault_append(kind=VaultKind.ADOPTION, body={"adopted": "rows"}, rows=rows)
        written += 1
    sums = {table.name: table.total() for table in tables() if not table.is_named}
    body = {"adopted": "sums", "covers": _editions_now()}
    vault_append(kind=VaultKind.ADOPTION, body=body, sums=sums | {SERVED: _missing()})
    return written + 1


@transaction.atomic
def coverage_extend() -> int:
    """Record the rows of every table, or edition of a table, that an earlier version did not cover. Returns how many there are.

    It happens once for each: the event says so, and a second time would hide a change. Rows that no longer hold by the earlier
    edition are left as they are, so that the verification names them.
    """
    head, covered = vault_lock(), Recorded()
    for event in VaultEvent.objects.filter(body__has_key="covers").order_by("sequence"):
        covered.add(event.sequence, event.at, event.body, adopts=False)
    editions = (dict.fromkeys(FIRST_COVERED, 1) if head.seal else {}) | covered.editions
    new = [table for table in tables() if editions.get(table.name, 0) < table.edition]
    if new:
        _extend(new)
    return len(new)


def _extend(new: list[StoredRows]) -> None:
    recorded = Recorded()
    for event in VaultEvent.objects.order_by("sequence").iterator(chunk_size=1_000):
        recorded.add(event.sequence, event.at, event.body, adopts=False)
    entries = (entry for table in new if table.is_named for entry in _uncovered_entries(table, recorded))
    while rows := dict(islice(entries, _ROWS_AN_EVENT)):
        vault_append(kind=VaultKind.COVERAGE, body={"covered": "rows"}, rows=rows)
    sums = {table.name: _uncovered_sum(table, recorded) for table in new if not table.is_named}
    vault_append(kind=VaultKind.COVERAGE, body={"covered": "sums", "covers": _editions_now()}, sums=sums)


def _uncovered_entries(table: StoredRows, recorded: Recorded) -> Iterator[tuple[str, str]]:
    earlier = dict(table.earlier.entries_now()) if table.earlier else {}
    for name, digest in table.entries_now():
        entry = recorded.rows.get(name)
        if (entry.digest == earlier.get(name)) if entry else not table.earlier:
            yield name, digest


def _uncovered_sum(table: StoredRows, recorded: Recorded) -> int:
    """Return what today's edition of a table lacks in the chain."""
    before = recorded.sums[table.name]
    holds = table.earlier is None or table.earlier.total() == before
    return table.total() - before if holds else 0


def _editions_now() -> dict[str, int]:
    return {table.name: table.edition for table in tables()}


@transaction.atomic
def default_caps_record() -> bool:
    """Record the caps that new people get, if they are new. Returns whether they were."""
    caps = {**default_caps(), "rho_cap": RHO_CAP}
    ((name, digest),) = default_caps_entry(caps).items()
    vault_lock()
    if VaultEvent.objects.filter(kind=VaultKind.BUDGET, body__rows__has_key=name).exists():
        return False
    vault_append(kind=VaultKind.BUDGET, body={"default_caps_nano": caps}, rows={name: digest})
    return True


def _people_seal() -> None:
    unsealed: QuerySet[Person] = Person.objects.filter(seal="").order_by("pk")
    while pks := list(unsealed.values_list("pk", flat=True)[:_PEOPLE_A_CHUNK]):
        people_seal(Person.objects.filter(pk__in=pks))


def _entries() -> Iterator[tuple[str, str]]:
    for table in tables():
        if table.is_named:
            yield from table.entries_now()
    for release in Release.objects.order_by("pk").values_list("pk", flat=True).iterator():
        yield from cohort_entry(release).items()
    for caps in PrivacyBudget.objects.order_by(*CAPS).values(*CAPS).distinct().iterator():
        yield from default_caps_entry(caps).items()
    for pk in Person.objects.filter(erased_at__isnull=False).values_list("pk", flat=True).iterator():
        yield from erased_entry(pk).items()


def _missing() -> int:
    """Return the sum of the leaves of sealed decisions that are gone."""
    total = 0
    for batch in VaultBatch.objects.order_by("pk").iterator(chunk_size=1):
        blob = bytes(batch.leaves)
        current = decision_leaves(batch_rows(batch.decisions.values_list("pk", flat=True))).values()
        gone = {blob[i : i + LEAF] for i in range(0, len(blob), LEAF)} - set(current)
        total += sum(int.from_bytes(leaf, "big") for leaf in gone)
    return total
