"""Verify the Trust Vault: check the chain link by link, and every stored sealed decision against its leaf."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Subquery

from core.errors import InputError
from privacy.engine.hash_chain import GENESIS, event_hash, merkle_root
from privacy.models import ServedDecision, VaultBatch, VaultCheck, VaultEvent, VaultHead, VaultKind
from privacy.services.vault.append import time_text
from privacy.services.vault.sealed_decisions import LEAF, batch_rows, decision_leaves

log = logging.getLogger(__name__)
VERIFY_CHUNK = 1_000  # events read at once


@dataclass(frozen=True)
class VaultReport:
    """The result of a verification.

    ``events`` and ``decisions`` count what was verified. ``erased`` counts leaves whose decision was deleted since.
    ``head`` is the hash of the last valid event, and ``sequence`` its number. ``broken`` describes the first broken link
    ("": none).
    """

    events: int
    decisions: int
    erased: int
    sequence: int
    head: str
    broken: str


class _Break(Exception):
    """Raised at the first broken link, with its description."""


def vault_verify(*, since: int = 1) -> VaultReport:
    """Verify the chain from event ``since`` to the head at the start of the call, in bounded memory.

    Events before ``since`` are trusted. Raises InputError when the chain has no event ``since``.
    """
    last, digest, newest = _end()
    if not 1 <= since <= last + 1:
        raise InputError(f"there is no event {since} to begin with; the Trust Vault's last event is {last}")
    walk = _Walk(since)
    try:
        walk.to(last)
        _check_end(last, digest, newest, walk.previous)
    except _Break as found:
        return walk.verified(str(found))
    return walk.verified("")


def vault_check() -> VaultCheck:
    """Verify the whole chain and store the result. A broken chain is logged as an error."""
    report = vault_verify()
    if report.broken:
        log.error("the Trust Vault is broken: %s", report.broken)
    return VaultCheck.objects.create(
        sequence=report.sequence,
        head=report.head,
        decisions_count=report.decisions,
        erased_count=report.erased,
        broken=report.broken,
    )


class _Walk:
    """Walk along the chain, checking that each event follows the one before."""

    def __init__(self, since: int) -> None:
        self.previous = GENESIS if since == 1 else _hash_of(since - 1)
        self.since, self.expected = since, since
        self.decisions = self.erased = 0

    def to(self, last: int) -> None:
        if not self.previous:
            raise _Break(f"event {self.since - 1} is missing")
        try:
            for event in _events(self.since, last):
                self._step(event)
        except ValueError:
            raise _Break(f"event {self.expected}, or one soon after it, cannot be read") from None
        if self.expected != last + 1:
            raise _Break(f"event {self.expected} is missing; the head says there are {last}")

    def _step(self, event: VaultEvent) -> None:
        _check_link(event, self.expected, self.previous)
        if event.kind == VaultKind.DECISIONS:
            present, sealed = _check_batch(event)
            self.decisions, self.erased = self.decisions + present, self.erased + sealed - present
        self.expected, self.previous = event.sequence + 1, event.hash

    def verified(self, broken: str) -> VaultReport:
        events = self.expected - self.since
        return VaultReport(events, self.decisions, self.erased, self.expected - 1, self.previous, broken)


def _end() -> tuple[int, str, int]:
    """Return the number and hash of the last event by the head, and the number of the last stored event, at one moment."""
    any_event = VaultEvent.objects.exists()  # queried first, because the head is created with the first event
    newest = VaultEvent.objects.order_by("-sequence").values("sequence")[:1]
    head = VaultHead.objects.filter(pk=1).annotate(newest=Subquery(newest))  # one statement, so one moment
    end = head.values_list("sequence", "hash", "newest").first()
    if end is None:
        return 0, GENESIS, 1 if any_event else 0
    return end[0], end[1], end[2] or 0


def _check_end(last: int, digest: str, newest: int, previous: str) -> None:
    if newest > last:
        raise _Break(f"event {last + 1} or a later one lies beyond the head, which says there are {last}")
    if digest != previous:
        raise _Break(f"the head's hash is not that of event {last}")
    if VaultBatch.objects.exclude(event__kind=VaultKind.DECISIONS).exists():
        raise _Break("a batch of decisions belongs to an event that sealed none")


def _hash_of(sequence: int) -> str:
    return VaultEvent.objects.filter(sequence=sequence).values_list("hash", flat=True).first() or ""


def _events(since: int, last: int) -> Iterator[VaultEvent]:
    for start in range(since, last + 1, VERIFY_CHUNK):
        chunk = VaultEvent.objects.filter(sequence__gte=start, sequence__lt=min(start + VERIFY_CHUNK, last + 1))
        yield from chunk.order_by("sequence")


def _check_link(event: VaultEvent, expected: int, previous: str) -> None:
    if event.sequence != expected:
        raise _Break(f"event {expected} is missing")
    if event.previous_hash != previous:
        raise _Break(f"event {expected} does not follow the one before it: its previous hash is another")
    try:
        digest = event_hash(
            sequence=event.sequence, kind=event.kind, at=time_text(event.at), subject=event.subject, body=event.body,
            previous=event.previous_hash,
        )  # fmt: skip
    except (TypeError, ValueError) as error:
        raise _Break(f"event {expected} was changed: {error}") from None
    if digest != event.hash:
        raise _Break(f"event {expected} was changed: its hash is another")


def _check_batch(event: VaultEvent) -> tuple[int, int]:
    """Check a batch. Returns the number of its decisions that are still stored, and the number that were sealed."""
    batch = VaultBatch.objects.filter(pk=event.pk).first()
    if batch is None:
        raise _Break(f"event {event.sequence} lost the leaves of its decisions")
    blob = bytes(batch.leaves)
    leaves = {blob[i : i + LEAF] for i in range(0, len(blob), LEAF)}
    body = {"decisions": batch.decisions_count, "root": batch.root}
    if body != event.body or len(blob) != LEAF * batch.decisions_count or len(leaves) != batch.decisions_count:
        raise _Break(f"the batch of event {event.sequence} is not the one that was sealed")
    if merkle_root([blob[i : i + LEAF] for i in range(0, len(blob), LEAF)]).hex() != batch.root:
        raise _Break(f"the leaves of event {event.sequence} do not give its root")
    return _check_decisions(batch, leaves), len(leaves)


def _check_decisions(batch: VaultBatch, leaves: set[bytes]) -> int:
    """Compare stored decisions with their leaves, and return their number. Leaves of erased decisions stay and reveal nothing."""
    rows = batch_rows(batch.decisions.values_list("pk", flat=True))
    current = decision_leaves(rows)
    for served in rows:
        leaf = current.get(served.pk)
        if leaf is None and ServedDecision.objects.filter(pk=served.pk).exists():
            raise _Break(
                f"the data key of decision {served.pk} is missing, so it cannot be compared with event {batch.pk}"
            )
        if leaf is not None and leaf not in leaves:
            raise _Break(f"decision {served.pk} is not what event {batch.pk} sealed")
    return len(current)
