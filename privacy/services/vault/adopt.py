"""Bring an installation under the Trust Vault's key: record what an earlier version stored, and the caps that new people get."""

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
from privacy.services.vault.sealed_decisions import LEAF, batch_rows, decision_leaves
from privacy.services.vault.stored_rows import CAPS, cohort_entry, erased_entry, people_seal

_ROWS_AN_EVENT = 50  # so that an event stays below 8 KB
_PEOPLE_A_CHUNK = 5_000


def vault_prepare() -> None:
    """Bring the installation under the Trust Vault's key. A second run changes nothing."""
    vault_adopt()
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
    vault_append(kind=VaultKind.ADOPTION, body={"adopted": "sums"}, sums=sums | {SERVED: _missing()})
    return written + 1


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
