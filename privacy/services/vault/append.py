"""Append events to the Trust Vault. Each event holds the hash of the one before.

Every append locks the single head row until its transaction ends. To avoid deadlocks, the head is the last lock that a
transaction takes. A transaction that appends several events takes all its other locks first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from core import clock
from core.canonical_json import canonical_json
from core.digests import VAULT_GROUP, VAULT_PERSON, keyed
from core.errors import InputError
from privacy.engine.hash_chain import GENESIS, LARGEST_EVENT, sum_text
from privacy.models import Person, VaultEvent, VaultHead, VaultKind
from privacy.services.vault.commitments import chain_hash, head_seal


def vault_append(
    *,
    kind: VaultKind,
    body: Mapping[str, Any],
    subject: str = "",
    rows: Mapping[str, str] | None = None,
    sums: Mapping[str, int] | None = None,
) -> VaultEvent:
    """Append an event in the transaction of the act that it records, so that both are committed or neither is.

    ``body`` holds ids, numbers, short texts and commitments, never a payload. ``subject`` is a commitment from ``subject_of``.
    ``rows`` are digests of named rows as the act left them. ``sums`` are, by table, the digests of rows added less those of rows
    deleted (``stored_rows``).
    Call it last: the transaction must not wait for another lock afterwards. Raises RuntimeError outside a transaction, and
    InputError for a body that is not plain JSON of at most 8 KB.
    """
    if not connection.in_atomic_block:
        raise RuntimeError(
            "vault_append was called outside a transaction; call it in the transaction of the recorded act"
        )
    whole = dict(body) | _commitments(rows or {}, sums or {})
    _check_body(whole)
    head, at = vault_lock(), clock.now()
    link: dict[str, Any] = {
        "sequence": head.sequence + 1,
        "kind": VaultKind(kind).value,
        "subject": subject,
        "body": whole,
    }
    digest = chain_hash(**link, at=time_text(at), previous=head.hash)
    event = VaultEvent.objects.create(**link, at=at, previous_hash=head.hash, hash=digest)
    seal = head_seal(event.sequence, digest)
    VaultHead.objects.filter(pk=1).update(sequence=event.sequence, hash=digest, seal=seal)
    return event


def _commitments(rows: Mapping[str, str], sums: Mapping[str, int]) -> dict[str, Any]:
    changed = {table: sum_text(total) for table, total in sums.items() if total}
    return {name: part for name, part in (("rows", dict(rows)), ("sums", changed)) if part}


def _check_body(body: Mapping[str, Any]) -> None:
    try:
        size = len(canonical_json(body))
    except ValueError as error:
        raise InputError(f"the Trust Vault cannot store this event: {error}") from None
    if size > LARGEST_EVENT:
        raise InputError(f"a Trust Vault event has at most {LARGEST_EVENT:,} bytes, not {size:,}; shorten its texts")


def vault_lock() -> VaultHead:
    """Return the locked head; create it before the first event. Until the transaction ends, nobody else appends.

    If the head were deleted later and created again, the next append would fail, because its sequence number already exists.
    """
    head = VaultHead.objects.select_for_update().filter(pk=1).first()
    if head is not None:
        return head
    VaultHead.objects.bulk_create([VaultHead(pk=1, sequence=0, hash=GENESIS)], ignore_conflicts=True)
    return VaultHead.objects.select_for_update().get(pk=1)


def time_text(at: datetime) -> str:
    """Return a time as text for hashing: UTC, with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def subject_of(person: Person) -> str:
    """Return a keyed commitment to a person, equal in every event. Without the key it reveals nothing."""
    return keyed(VAULT_PERSON, person.population, person.first_key or person.key).hex()


def subjects_of(person_ids: Collection[int]) -> str:
    """Return one keyed commitment to a set of people, over their sorted individual commitments."""
    people = Person.objects.filter(pk__in=person_ids)
    return keyed(VAULT_GROUP, "\n".join(sorted(subject_of(p) for p in people.iterator(chunk_size=5_000)))).hex()
