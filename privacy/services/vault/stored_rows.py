"""Digest stored rows for the Trust Vault: which columns of each table it covers, and under which name it records them.

A *named* row has an entry of its own, and the newest entry counts. Rows in great number are recorded as one sum of digests for
the table: an event adds the rows that its act wrote, and subtracts those that it deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from loops.models import Loop, LoopVersion
from privacy.engine.hash_chain import digests_sum
from privacy.models import (
    Approval,
    Choice,
    Consent,
    Decision,
    LedgerEntry,
    Person,
    PersonAccount,
    PrivacyBudget,
    Release,
    ReleaseRound,
    RewardSignal,
    SignalImport,
)
from privacy.models.budget import WINDOWS
from privacy.services.vault.commitments import row_digest

CAPS = (*(f"cap_{window}" for window in WINDOWS), "rho_cap")
_CHUNK = 2_000
_Row = TypeVar("_Row")


@dataclass(frozen=True)
class StoredRows:
    """The rows of one table that the Trust Vault covers.

    ``name`` is what an event calls them, and ``fields`` are the columns in a digest, the primary key first. ``rows`` returns all
    of them. ``is_named`` tells whether each row has an entry of its own. ``edition`` grows whenever the digest covers more, and
    ``earlier`` is the definition of the edition before: ``manage.py prepare`` takes over only rows that hold by it.
    """

    name: str
    fields: tuple[str, ...]
    rows: Callable[[], QuerySet[Any]]
    is_named: bool
    edition: int = 1
    earlier: StoredRows | None = None

    def digest(self, row: Model) -> str:
        """Return the digest of one row at hand."""
        return row_digest(self.name, *(getattr(row, field) for field in self.fields))

    def digests(self, rows: QuerySet[Any] | None = None) -> Iterator[tuple[int, str]]:
        """Return the primary key and the digest of each row as stored now, in bounded memory."""
        chosen = self.rows() if rows is None else rows
        for facts in chosen.order_by("pk").values_list(*self.fields).iterator(chunk_size=_CHUNK):
            yield facts[0], row_digest(self.name, *facts)

    def entries_now(self, rows: QuerySet[Any] | None = None) -> Iterator[tuple[str, str]]:
        """Return the name and the digest of each named row as stored now."""
        for pk, digest in self.digests(rows):
            yield f"{self.name} {pk}", digest

    def entries(self, rows: QuerySet[Any] | None = None) -> dict[str, str]:
        """Return an event's entries for named rows."""
        return dict(self.entries_now(rows))

    def total(self, rows: QuerySet[Any] | None = None) -> int:
        """Return the sum of the digests of rows."""
        return digests_sum(digest for _, digest in self.digests(rows))


@dataclass(frozen=True)
class DecisionRows(StoredRows):
    """Imported decisions. A digest covers the choices of every head, too."""

    def digests(self, rows: QuerySet[Any] | None = None) -> Iterator[tuple[int, str]]:
        """Return the primary key and the digest of each decision as stored now, in bounded memory."""
        chosen = self.rows() if rows is None else rows
        stored = chosen.order_by("pk").values_list(*self.fields).iterator(chunk_size=_CHUNK)
        for chunk in row_chunks(stored):
            choices = _choices([facts[0] for facts in chunk])
            for facts in chunk:
                yield facts[0], row_digest(self.name, *facts, choices.get(facts[0], []))


@dataclass(frozen=True)
class ConsentRows(StoredRows):
    """Acts of consent. One that says nothing in a later column keeps the digest that it had before acts had that column."""

    def digest(self, row: Model) -> str:
        """Return the digest of one row at hand."""
        return row_digest(self.name, *_as_recorded(tuple(getattr(row, field) for field in self.fields)))

    def digests(self, rows: QuerySet[Any] | None = None) -> Iterator[tuple[int, str]]:
        """Return the primary key and the digest of each act as stored now, in bounded memory."""
        chosen = self.rows() if rows is None else rows
        for facts in chosen.order_by("pk").values_list(*self.fields).iterator(chunk_size=_CHUNK):
            yield facts[0], row_digest(self.name, *_as_recorded(facts))


def _as_recorded(act: tuple[Any, ...]) -> tuple[Any, ...]:
    *older, device, account, lifts = act
    if lifts:
        return act
    return (*older, device, account) if device or account is not None else tuple(older)


def row_chunks(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Return rows in lists of bounded length."""
    chunk: list[_Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _choices(decisions: list[int]) -> dict[int, list[tuple[Any, ...]]]:
    columns = (
        "decision_id", "head", "action", "propensity", "marginal_propensity", "explored", "learnable", "version", "generation",
        "eligible", "fallback",
    )  # fmt: skip
    rows = Choice.objects.filter(decision__in=decisions).order_by("decision_id", "head").values_list(*columns)
    return {pk: [row[1:] for row in group] for pk, group in groupby(rows, key=itemgetter(0))}


RELEASES = StoredRows(
    "release",
    (
        "pk", "created_at", "key", "loop_version_id", "purpose", "technique", "mechanism", "unit", "neighbouring", "parameters",
        "policy_cost", "rho", "formal_epsilon", "formal_delta", "guarantee", "library_version", "state", "noisy_users",
        "data_type", "rows_in", "rows_out", "information_loss", "committed_at",
    ),
    lambda: Release.objects.all(),
    is_named=True,
)  # fmt: skip
ROUNDS = StoredRows(
    "round",
    ("pk", "created_at", "release_id", "index", "output_sha256", "expires_at"),
    lambda: ReleaseRound.objects.all(),
    is_named=True,
)
CONSENTS = ConsentRows(
    "consents",
    ("pk", "created_at", "person_id", "purpose", "granted", "text_version", "source", "device", "account_id", "lifts"),
    lambda: Consent.objects.all(),
    is_named=False,
)
_OUTCOMES_FIRST = StoredRows(
    "outcomes", ("decision_id", "payload", "harmful", "closed_at"), lambda: RewardSignal.objects.all(), is_named=False
)
# Sealed payloads are covered as they are stored, so verifying needs no data key. An outcome is named by its decision.
OUTCOMES = replace(
    _OUTCOMES_FIRST, fields=(*_OUTCOMES_FIRST.fields, "created_at", "has_reward"), edition=2, earlier=_OUTCOMES_FIRST
)
OUTCOMES_READ = StoredRows(
    "read",
    ("decision_id", "release_id"),
    lambda: RewardSignal.objects.filter(release__isnull=False),
    is_named=False,
)
_IMPORTED_FIRST = DecisionRows(
    "decisions",
    (
        "pk", "person_id", "loop_version_id", "row_key", "decided_at", "local_day", "available", "dropped_out", "state",
    ),
    lambda: Decision.objects.filter(served__isnull=True),
    is_named=False,
)  # fmt: skip
IMPORTED_DECISIONS = replace(
    _IMPORTED_FIRST, fields=(*_IMPORTED_FIRST.fields, "created_at"), edition=2, earlier=_IMPORTED_FIRST
)
IMPORTS = StoredRows(
    "import",
    (
        "pk", "created_at", "loop_version_id", "file_sha256", "rows", "added", "unchanged", "rejected", "counts", "propensities",
        "override",
    ),
    lambda: SignalImport.objects.all(),
    is_named=True,
)  # fmt: skip
LOOPS = StoredRows("loop", ("pk", "created_at", "name", "population"), lambda: Loop.objects.all(), is_named=True)
LOOP_VERSIONS = StoredRows(
    "loop-version",
    ("pk", "created_at", "loop_id", "version", "source", "sha256"),
    lambda: LoopVersion.objects.all(),
    is_named=True,
)
ACCOUNTS = StoredRows(
    "accounts", ("pk", "created_at", "user_id", "person_id"), lambda: PersonAccount.objects.all(), is_named=False
)
APPROVALS = StoredRows(
    "approval",
    (
        "pk", "created_at", "loop_id", "act", "door", "words", "parameters", "seen", "reason", "asked_by", "asked_by_account",
        "expires_at", "state", "decided_by", "decided_by_account", "decided_at", "decision", "made",
    ),
    lambda: Approval.objects.all(),
    is_named=True,
)  # fmt: skip
EMPTIED = StoredRows(
    "emptied",
    ("pk", "release_id", "index", "output_sha256"),
    lambda: ReleaseRound.objects.filter(output=b"", expires_at__isnull=False),
    is_named=False,
)
STORED_ROWS = (
    RELEASES, ROUNDS, CONSENTS, OUTCOMES, IMPORTED_DECISIONS, EMPTIED, OUTCOMES_READ, IMPORTS, LOOPS, LOOP_VERSIONS, ACCOUNTS,
    APPROVALS,
)  # fmt: skip


def cohort_entry(release_id: int) -> dict[str, str]:
    """Return an event's entry for the cohort of a release: a commitment to everybody charged, and to each charge.

    It covers ids, which an erasure keeps. It tells nothing to anyone without the key, not even the number of people.
    """
    digest = hashlib.sha256()
    charges = LedgerEntry.objects.filter(release=release_id).order_by("person_id")
    for charge in charges.values_list("person_id", "policy_cost", "rho").iterator(chunk_size=10_000):
        digest.update(b"%d %d %d\n" % charge)
    return {f"cohort {release_id}": row_digest("cohort", release_id, digest.hexdigest())}


def person_seal(person: Person) -> str:
    """Return the seal of a person's row: identity, fold, and whether they are erased."""
    return row_digest(
        "person", person.pk, person.population, person.key, person.first_key, person.fold, person.erased_at,
        person.last_erased_at, person.created_at,
    )  # fmt: skip


def people_seal(people: QuerySet[Person]) -> None:
    """Seal the rows of people whose facts were just written."""
    for chunk in _people_chunks(people):
        for person in chunk:
            person.seal = person_seal(person)
        Person.objects.bulk_update(chunk, ["seal"])


def _people_chunks(people: QuerySet[Person]) -> Iterator[list[Person]]:
    ids = list(people.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), 500):
        yield list(Person.objects.filter(pk__in=ids[start : start + 500]).order_by("pk"))


def person_reference(kind: str, person_id: int) -> str:
    """Return the name of a person's entry of one kind, ``caps`` or ``erased``. Without the key it names nobody."""
    return f"{kind} {row_digest('person reference', kind, person_id)[:32]}"


def caps_entry(budget: PrivacyBudget) -> dict[str, str]:
    """Return an event's entry for all caps of one person."""
    return {person_reference("caps", budget.pk): caps_digest({name: getattr(budget, name) for name in CAPS})}


def caps_digest(caps: dict[str, int]) -> str:
    """Return the digest of a set of caps, whoever has them."""
    return row_digest("caps", *(caps[name] for name in CAPS))


def erased_entry(person_id: int) -> dict[str, str]:
    """Return an event's entry for an erased person. From now on their row is erased, or was made anew later."""
    return {person_reference("erased", person_id): row_digest("erased", person_id)}
