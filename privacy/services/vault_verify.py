"""Verifying the vault: the chain link by link, and every sealed decision that is still there against its leaf."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from privacy.engine.chain import GENESIS, event_hash, merkle_root
from privacy.models import ServedDecision, VaultBatch, VaultEvent, VaultHead
from privacy.services.vault import time_text
from privacy.services.vault_batches import LEAF, batch_rows, decision_leaf


@dataclass(frozen=True)
class Verified:
    """What a walk found. ``broken`` names the first link that does not hold; empty: all hold."""

    events: int
    decisions: int
    head: str
    broken: str


def vault_verify(*, since: int = 1) -> Verified:
    """Walk the chain from event ``since`` on, in bounded memory."""
    events = decisions = 0
    expected, previous = since, _hash_before(since)
    if previous is None:
        return Verified(0, 0, "", f"event {since - 1} is missing, so nothing after it can be checked")
    for event in VaultEvent.objects.filter(sequence__gte=since).order_by("sequence").iterator(chunk_size=1_000):
        said = _broken(event, expected, previous)
        if not said:
            sealed, said = _batch(event)
            decisions += sealed
        if said:
            return Verified(events, decisions, previous, said)
        events, expected, previous = events + 1, expected + 1, event.hash
    return Verified(events, decisions, previous, _head_differs(expected - 1, previous))


def _hash_before(since: int) -> str | None:
    if since <= 1:
        return GENESIS
    return VaultEvent.objects.filter(sequence=since - 1).values_list("hash", flat=True).first()


def _broken(event: VaultEvent, expected: int, previous: str) -> str:
    if event.sequence != expected:
        return f"event {expected} is missing"
    if event.previous_hash != previous:
        return f"event {event.sequence} does not follow the one before it"
    try:
        found = event_hash(
            sequence=event.sequence, kind=event.kind, at=time_text(event.at), subject=event.subject, body=event.body,
            previous=event.previous_hash,
        )  # fmt: skip
    except ValueError as error:
        return f"event {event.sequence} was changed: {error}"
    return "" if found == event.hash else f"event {event.sequence} was changed: its hash is another"


def _batch(event: VaultEvent) -> tuple[int, str]:
    """Decisions of the event that were checked, and what does not hold about them."""
    if event.kind != "decisions":
        return 0, ""
    batch = VaultBatch.objects.filter(pk=event.pk).first()
    if batch is None:
        return 0, f"event {event.sequence} lost the leaves of its decisions"
    leaves = [bytes(batch.leaves)[i : i + LEAF] for i in range(0, len(bytes(batch.leaves)), LEAF)]
    if not leaves or merkle_root(leaves).hex() != event.body.get("root") or len(leaves) != event.body.get("decisions"):
        return 0, f"the leaves of event {event.sequence} do not give its root"
    known, count = set(leaves), 0
    for served in _still_there(batch):
        count += 1
        if decision_leaf(served) not in known:
            return count, f"decision {served.pk} is not what event {event.sequence} sealed"
    return count, ""


def _still_there(batch: VaultBatch) -> Iterator[ServedDecision]:
    """Erased decisions are gone; their leaves stay and say nothing."""
    yield from batch_rows(list(batch.decisions.values_list("pk", flat=True)))


def _head_differs(last: int, digest: str) -> str:
    head = VaultHead.objects.filter(pk=1).first()
    sequence, found = (head.sequence, head.hash) if head else (0, GENESIS)
    if sequence != last:
        return f"the head says {sequence} events, the chain has {last}"
    return "" if found == digest else "the head's hash is not that of the last event"
