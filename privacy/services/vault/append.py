"""Appending to the Trust Vault: one event after another, each holding the hash of the one before.

Every append locks the one head row until its transaction ends. So that acts never wait for each other crosswise, the head is
the last lock that a transaction takes: whoever writes several events in one transaction takes all its other locks first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from core.canonical_json import canonical_json
from core.digests import VAULT_GROUP, VAULT_PERSON, keyed
from core.errors import InputError
from privacy.engine.hash_chain import GENESIS, LARGEST_EVENT, event_hash
from privacy.models import Person, VaultEvent, VaultHead, VaultKind


def vault_append(*, kind: VaultKind, body: Mapping[str, Any], subject: str = "") -> VaultEvent:
    """Append an event, inside the transaction of the act that it records: neither is without the other.

    ``body`` holds ids, numbers, short texts and commitments, never a payload; ``subject`` is what ``subject_of`` gives. Call it
    last: nothing that somebody else may hold can be waited for afterwards. Raises RuntimeError outside a transaction, InputError
    for a body that is no plain JSON of at most 8 KB.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("an event belongs into the transaction of the act that it records")
    _check_body(body)
    head, at = _head(), datetime.now(UTC)
    link: dict[str, Any] = {
        "sequence": head.sequence + 1,
        "kind": VaultKind(kind).value,
        "subject": subject,
        "body": dict(body),
    }
    digest = event_hash(**link, at=time_text(at), previous=head.hash)
    event = VaultEvent.objects.create(**link, at=at, previous_hash=head.hash, hash=digest)
    VaultHead.objects.filter(pk=1).update(sequence=event.sequence, hash=digest)
    return event


def _check_body(body: Mapping[str, Any]) -> None:
    try:
        size = len(canonical_json(body))
    except ValueError as error:
        raise InputError(f"the vault cannot keep this event: {error}") from None
    if size > LARGEST_EVENT:
        raise InputError(f"an event of the vault has at most {LARGEST_EVENT:,} bytes, not {size:,}; shorten its texts")


def _head() -> VaultHead:
    """The head, locked. Before the first event it is made; were it deleted later, the next sequence would exist already."""
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
    return keyed(VAULT_PERSON, person.population, person.key).hex()


def subjects_of(person_ids: Collection[int]) -> str:
    """One commitment to a set of people: over their own, sorted."""
    people = Person.objects.filter(pk__in=person_ids)
    return keyed(VAULT_GROUP, "\n".join(sorted(subject_of(p) for p in people.iterator(chunk_size=5_000)))).hex()
