"""Appending to the Trust Vault: one event after another, each holding the hash of the one before."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection

from privacy.engine.chain import GENESIS, LARGEST, canonical, event_hash
from privacy.models import Person, VaultEvent, VaultHead, VaultKind


def vault_append(*, kind: VaultKind, body: Mapping[str, Any], subject: str = "") -> VaultEvent:
    """Append an event, inside the transaction of the act that it records: neither is without the other.

    The head row is locked until that transaction ends, and must be the last lock that it takes (people, slots and releases come
    before), so that acts never wait for each other crosswise. Raises ValueError for a body that is no plain small JSON.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("an event belongs into the transaction of the act that it records")
    if len(canonical(body)) > LARGEST:
        raise ValueError(f"an event's body has at most {LARGEST} bytes: ids and commitments, never a payload")
    head = _head()
    at = datetime.now(UTC)
    sequence = head.sequence + 1
    event = VaultEvent.objects.create(
        sequence=sequence,
        kind=VaultKind(kind).value,
        at=at,
        subject=subject,
        body=dict(body),
        previous_hash=head.hash,
        hash=event_hash(
            sequence=sequence,
            kind=VaultKind(kind).value,
            at=time_text(at),
            subject=subject,
            body=body,
            previous=head.hash,
        ),
    )
    VaultHead.objects.filter(pk=1).update(sequence=sequence, hash=event.hash)
    return event


def _head() -> VaultHead:
    head = VaultHead.objects.select_for_update().filter(pk=1).first()
    if head is not None:
        return head
    VaultHead.objects.bulk_create([VaultHead(pk=1, sequence=0, hash=GENESIS)], ignore_conflicts=True)
    return VaultHead.objects.select_for_update().get(pk=1)


def time_text(at: datetime) -> str:
    """A time as it enters the hash: UTC, microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def subject_of(person: Person) -> str:
    """A keyed commitment to a person, the same in every event; without the key it says nothing."""
    return commitment(f"{person.population}\0{person.key}")


def subjects_of(person_ids: Collection[int]) -> str:
    """One commitment to a set of people."""
    people = Person.objects.filter(pk__in=person_ids).order_by("key")
    return commitment("\n".join(subject_of(p) for p in people.iterator(chunk_size=5_000)))


def commitment(text: str) -> str:
    """HMAC-SHA-256 under a key of the vault's own, derived from the salt."""
    return hmac.new(vault_key(), text.encode(), hashlib.sha256).hexdigest()


def vault_key() -> bytes:
    """The vault's key."""
    return hmac.digest(settings.ANONYMIZATION_SALT.encode(), b"trust vault", "sha256")
