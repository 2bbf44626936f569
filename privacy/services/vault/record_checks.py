"""Compare the stored rows with what the Trust Vault recorded of them. Each check names the first difference that it finds.

Floors above add their own tables with ``check_register`` when Django starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from django.db.models import Exists, F, Min, OuterRef, Q

from core.checksums import sha256_hex
from core.errors import Conflict
from privacy.engine.hash_chain import MODULUS
from privacy.engine.sealing import CannotOpen, Cipher
from privacy.models import (
    Decision,
    LedgerEntry,
    Person,
    Release,
    ReleaseRound,
    ServedDecision,
    ServingState,
    Signal,
)
from privacy.selectors.exports import round_output
from privacy.selectors.keys import ciphers_known, state_of
from privacy.services.vault.budget_checks import budgets_check
from privacy.services.vault.deleted_rows import SERVED
from privacy.services.vault.recorded import Recorded
from privacy.services.vault.stored_rows import (
    STORED_ROWS,
    StoredRows,
    cohort_entry,
    person_reference,
    person_seal,
    row_chunks,
)

RecordCheck = Callable[[Recorded], Iterator[str]]
_TABLES: list[StoredRows] = list(STORED_ROWS)
_CHECKS: list[RecordCheck] = []


def check_register(*tables: StoredRows, check: RecordCheck | None = None) -> None:
    """Add tables, and a further check, of a floor above."""
    _TABLES.extend(tables)
    _CHECKS.extend([check] if check else [])


def tables() -> tuple[StoredRows, ...]:
    """Return every table whose rows the Trust Vault covers."""
    return tuple(_TABLES)


def differences(recorded: Recorded) -> Iterator[str]:
    """Return the first difference that each check finds, as a sentence."""
    for table in _TABLES:
        yield from _first(table_check(table, recorded))
    for check in (
        cohorts_check,
        outputs_check,
        served_check,
        served_rows_check,
        people_check,
        keys_check,
        budgets_check,
        *_CHECKS,
    ):
        yield from _first(check(recorded))


def _first(found: Iterator[str]) -> Iterator[str]:
    for sentence in found:
        yield sentence
        return


def table_check(table: StoredRows, recorded: Recorded) -> Iterator[str]:
    """Compare the rows of a table: row by row where they are named, by their sum otherwise."""
    if not table.is_named:
        if table.total() != recorded.sums[table.name]:
            yield (
                f"the stored rows of {table.name!r} are not those that were recorded: one was changed, deleted or added without "
                "an event"
            )
        return
    yield from _named_check(table.name, table.entries_now(), recorded, _ROW_SENTENCES)


class _Sentences(NamedTuple):
    """Hold what is said of an entry ``{}`` that has no event, another digest, or no row any more."""

    added: str
    changed: str
    missing: str


_ROW_SENTENCES = _Sentences(
    added="{} was added without an event", changed="{} is not what the Trust Vault recorded", missing="{} is missing"
)
_CHARGE_SENTENCES = _Sentences(
    added="{} has no recorded charge",
    changed="the ledger entries of {} are not the charges that were recorded",
    missing="the charge of {} was recorded, but the release is missing",
)


def _named_check(
    kind: str, stored: Iterable[tuple[str, str]], recorded: Recorded, sentences: _Sentences, *, called: str = ""
) -> Iterator[str]:
    """Compare entries, each a name and a digest, with those that were recorded of their kind.

    Args: called: what sentences call the kind. Default: by its own name.
    """
    left = recorded.names(kind)
    for name, digest in stored:
        if name not in recorded.rows:
            yield sentences.added.format(name.replace(kind, called or kind))
        elif recorded.rows[name].digest != digest:
            yield sentences.changed.format(name.replace(kind, called or kind))
        left.discard(name)
    for name in sorted(left):
        yield sentences.missing.format(name.replace(kind, called or kind))


def cohorts_check(recorded: Recorded) -> Iterator[str]:
    """Compare the people and amounts in the ledger with the commitment that each release's charge recorded."""
    releases = Release.objects.order_by("pk").values_list("pk", flat=True).iterator(chunk_size=2_000)
    charges = (entry for release in releases for entry in cohort_entry(release).items())
    yield from _named_check("cohort", charges, recorded, _CHARGE_SENTENCES, called="release")
    if LedgerEntry.objects.exclude(release__in=Release.objects.all()).exists():
        yield "a ledger entry belongs to no release"


def outputs_check(recorded: Recorded) -> Iterator[str]:
    """Compare each stored output with its SHA-256, which is that of the plain rows where they are sealed."""
    rounds = ReleaseRound.objects.exclude(output=b"", expires_at__isnull=False).order_by("pk")
    for stored in rounds.select_related("export_key").iterator(chunk_size=50):
        try:
            plain = round_output(stored)
        except (CannotOpen, Conflict):
            plain = b""
        if sha256_hex(plain) != stored.output_sha256:
            yield f"the output in round {stored.pk} of release {stored.release_id} is not what was stored"


def served_check(recorded: Recorded) -> Iterator[str]:
    """Compare the sealed decisions that are gone with those that erasures and expiries deleted."""
    if (recorded.missing - recorded.sums[SERVED]) % MODULUS:
        yield "a sealed decision is missing, and neither an erasure nor an expiry deleted it"


def served_rows_check(recorded: Recorded) -> Iterator[str]:
    """Compare what a served decision states twice: whose it is, whether they were available, and when it was closed."""
    served = ServedDecision.objects.annotate(
        is_available=Q(unavailable=""), outcome_at=F("decision__outcome__closed_at")
    )
    same = Q(decision__available=F("is_available"), decision__dropped_out=False, decision__person=F("person"))
    same &= Q(outcome_at__isnull=True) | Q(closed_at__isnull=False, closed_at=F("outcome_at"))
    for pk in served.exclude(same).order_by("pk").values_list("pk", flat=True)[:1]:
        yield f"the rows of decision {pk} contradict each other"


def keys_check(recorded: Recorded) -> Iterator[str]:
    """Check that everybody's data key opens their rows: without it a release would charge them and read nothing."""
    keyless = Person.objects.filter(erased_at__isnull=True, data_key__isnull=True)
    for rows in (Decision, Signal, ServingState):
        for pk in keyless.filter(Exists(rows.objects.filter(person=OuterRef("pk")))).values_list("pk", flat=True)[:1]:
            yield f"the data key of person {pk} is missing, so their records cannot be read"
    oldest = (
        Decision.objects.values("person").annotate(oldest=Min("pk")).order_by("person").values_list("oldest", flat=True)
    )
    for chunk in row_chunks(oldest.iterator(chunk_size=2_000)):
        decisions = list(Decision.objects.filter(pk__in=chunk))
        try:
            keys = ciphers_known({decision.person_id for decision in decisions})
        except Conflict as error:
            yield str(error)
            return
        for decision in decisions:
            if decision.person_id in keys and not _opens(decision, keys[decision.person_id]):
                yield f"the data key of person {decision.person_id} does not open their records"


def _opens(decision: Decision, cipher: Cipher) -> bool:
    try:
        state_of(decision, cipher)
    except CannotOpen:
        return False
    return True


def people_check(recorded: Recorded) -> Iterator[str]:
    """Compare each person's row with its seal, and erased people with their tombstones."""
    left = recorded.names("erased")
    for person in Person.objects.order_by("pk").iterator(chunk_size=2_000):
        if person.seal != person_seal(person):
            yield f"the row of person {person.pk} is not what the platform wrote"
        name = person_reference("erased", person.pk)
        yield from _erasure_check(person, name, recorded)
        left.discard(name)
    if left:
        yield "the row of an erased person is missing"


def _erasure_check(person: Person, name: str, recorded: Recorded) -> Iterator[str]:
    entry = recorded.rows.get(name)
    if entry is None:
        if person.erased_at is not None:
            yield f"person {person.pk} was marked as erased without an event"
        return
    if person.erased_at is None and person.created_at <= entry.at:
        yield f"person {person.pk} was erased, but their row no longer holds the tombstone"
