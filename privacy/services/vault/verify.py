"""Verify the Trust Vault: check the chain link by link, every sealed decision against its leaf, and all rows it recorded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from django.db import transaction

from core.errors import Conflict, InputError
from notices.services.record import notice_record, record_page
from privacy.engine.hash_chain import GENESIS, event_hash, merkle_root
from privacy.models import ServedDecision, VaultBatch, VaultCheck, VaultEvent, VaultHead, VaultKind
from privacy.services.vault.anchors import anchors_differences
from privacy.services.vault.append import time_text
from privacy.services.vault.commitments import chain_hash, head_seal
from privacy.services.vault.one_moment import one_moment
from privacy.services.vault.record_checks import differences
from privacy.services.vault.recorded import Recorded
from privacy.services.vault.sealed_decisions import LEAF, batch_rows, decision_leaves, genuine_leaves

log = logging.getLogger(__name__)
VERIFY_CHUNK = 1_000  # events read at once


@dataclass(frozen=True)
class VaultReport:
    """The result of a verification.

    ``events`` and ``decisions`` count what was verified. ``erased`` counts leaves whose decision was deleted since.
    ``head`` is the hash of the last valid event, and ``sequence`` its number. ``broken`` describes the first broken link, or else
    the first difference in each kind of stored rows ("": none). ``adopted`` is the event that took over an older history, which
    no key protected before (0: none).
    """

    events: int
    decisions: int
    erased: int
    sequence: int
    head: str
    broken: str
    adopted: int = 0


class _Break(Exception):
    """Raised at the first broken link, with its description."""


def vault_verify(*, since: int = 1) -> VaultReport:
    """Verify the chain from event ``since`` to the head at the start of the call, in bounded memory.

    Events before ``since`` are trusted. Raises InputError when the chain has no event ``since``.
    """
    with one_moment():
        walk, broken = _walked(since)
    return walk.verified(broken)


def _walked(since: int) -> tuple[_Walk, str]:
    """Walk the chain to its head. Returns the walk, and the first broken link ("": none)."""
    end = _end()
    if not 1 <= since <= end.sequence + 1:
        raise InputError(f"there is no event {since} to begin with; the Trust Vault's last event is {end.sequence}")
    walk = _Walk(since)
    try:
        walk.to(end.sequence)
        _check_end(end, walk)
        _check_unsealed()
    except (_Break, Conflict) as found:  # a data key that no master key unwraps is a conflict
        return walk, str(found)
    return walk, ""


def vault_audit() -> VaultReport:
    """Verify the whole chain, and compare all rows that it covers with what it recorded. Reads one moment, in bounded memory."""
    with one_moment():
        walk, broken = _walked(1)
        if not broken and walk.expected > 1 and not walk.is_keyed:
            broken = "no key protects the chain yet; run 'manage.py prepare', which records what is stored now"
        found = [*anchors_differences(), *differences(walk.recorded)] if not broken else [broken]
        return walk.verified("; ".join(found))


def vault_check() -> VaultCheck:
    """Audit the Trust Vault and store the result. A broken one is logged as an error, and operators are told."""
    report = vault_audit()
    if report.broken:
        log.error("the Trust Vault is broken: %s", report.broken)
    with transaction.atomic():
        check = VaultCheck.objects.create(
            sequence=report.sequence,
            head=report.head,
            decisions_count=report.decisions,
            erased_count=report.erased,
            broken=report.broken,
        )
        if report.broken:  # the check says what; it names rows, which stay inside
            notice_record(
                kind="vault_broken",
                key=f"vault check {check.pk}",
                subject="The Trust Vault",
                facts={"events": report.sequence},
                link=record_page(check),
            )
    return check


class _Walk:
    """Walk along the chain, checking that each event follows the one before."""

    def __init__(self, since: int) -> None:
        self.previous = GENESIS if since == 1 else _hash_of(since - 1)
        self.since, self.expected = since, since
        self.decisions = self.erased = 0
        self.is_keyed = False
        self.recorded = Recorded()

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
        self.is_keyed = _check_link(event, self.expected, self.previous, keyed=self.is_keyed)
        self.recorded.add(event.sequence, event.at, event.body, adopts=event.kind == VaultKind.ADOPTION)
        if event.kind == VaultKind.DECISIONS:
            present, gone = _check_batch(event)
            self.decisions, self.erased = self.decisions + present, self.erased + len(gone)
            self.recorded.missing += sum(int.from_bytes(leaf, "big") for leaf in gone)
        self.expected, self.previous = event.sequence + 1, event.hash

    def verified(self, broken: str) -> VaultReport:
        events = self.expected - self.since
        return VaultReport(
            events, self.decisions, self.erased, self.expected - 1, self.previous, broken, self.recorded.adopted
        )


class _End(NamedTuple):
    """The end of the chain by its head, and the number of the last stored event."""

    sequence: int
    digest: str
    seal: str
    newest: int


def _end() -> _End:
    newest = VaultEvent.objects.order_by("-sequence").values_list("sequence", flat=True).first() or 0
    head = VaultHead.objects.filter(pk=1).values_list("sequence", "hash", "seal").first()
    return _End(*(head or (0, GENESIS, "")), newest)


def _check_end(end: _End, walk: _Walk) -> None:
    if end.newest > end.sequence:
        raise _Break(
            f"event {end.sequence + 1} or a later one lies beyond the head, which says there are {end.sequence}"
        )
    if end.digest != walk.previous:
        raise _Break(f"the head's hash is not that of event {end.sequence}")
    if end.sequence and (walk.is_keyed or end.seal) and end.seal != head_seal(end.sequence, end.digest):
        raise _Break(f"the head was set to event {end.sequence} by somebody without the key")
    if VaultBatch.objects.exclude(event__kind=VaultKind.DECISIONS).exists():
        raise _Break("a batch of decisions belongs to an event that sealed none")


def _check_unsealed() -> None:
    """Check that the platform made every served decision that waits to be sealed."""
    waiting = ServedDecision.objects.filter(vault_batch__isnull=True).order_by("pk")
    last = 0
    while pks := list(waiting.filter(pk__gt=last).values_list("pk", flat=True)[:VERIFY_CHUNK]):
        rows = batch_rows(pks)
        for forged in decision_leaves(rows).keys() - genuine_leaves(rows).keys():
            raise _Break(f"served decision {forged} was not made by the platform")
        last = pks[-1]


def _hash_of(sequence: int) -> str:
    return VaultEvent.objects.filter(sequence=sequence).values_list("hash", flat=True).first() or ""


def _events(since: int, last: int) -> Iterator[VaultEvent]:
    for start in range(since, last + 1, VERIFY_CHUNK):
        chunk = VaultEvent.objects.filter(sequence__gte=start, sequence__lt=min(start + VERIFY_CHUNK, last + 1))
        yield from chunk.order_by("sequence")


def _check_link(event: VaultEvent, expected: int, previous: str, *, keyed: bool) -> bool:
    """Check one link. Returns whether its hash is keyed: the chain of an earlier version begins with hashes that are not."""
    if event.sequence != expected:
        raise _Break(f"event {expected} is missing")
    if event.previous_hash != previous:
        raise _Break(f"event {expected} does not follow the one before it: its previous hash is another")
    facts = {
        "sequence": event.sequence, "kind": event.kind, "at": time_text(event.at), "subject": event.subject,
        "body": event.body, "previous": event.previous_hash,
    }  # fmt: skip
    try:
        is_keyed = chain_hash(**facts) == event.hash
        holds = is_keyed or (not keyed and event_hash(**facts) == event.hash)
    except (TypeError, ValueError) as error:
        raise _Break(f"event {expected} was changed: {error}") from None
    if not holds:
        raise _Break(f"event {expected} was changed: its hash is another")
    return is_keyed


def _check_batch(event: VaultEvent) -> tuple[int, set[bytes]]:
    """Check a batch. Returns the number of its decisions that are still stored, and the leaves of those that are gone."""
    batch = VaultBatch.objects.filter(pk=event.pk).first()
    if batch is None:
        raise _Break(f"event {event.sequence} lost the leaves of its decisions")
    blob = bytes(batch.leaves)
    leaves = {blob[i : i + LEAF] for i in range(0, len(blob), LEAF)}
    body = event.body | {"decisions": batch.decisions_count, "root": batch.root}
    if body != event.body or len(blob) != LEAF * batch.decisions_count or len(leaves) != batch.decisions_count:
        raise _Break(f"the batch of event {event.sequence} is not the one that was sealed")
    if merkle_root([blob[i : i + LEAF] for i in range(0, len(blob), LEAF)]).hex() != batch.root:
        raise _Break(f"the leaves of event {event.sequence} do not give its root")
    current = _check_decisions(batch, leaves)
    return len(current), leaves - current


def _check_decisions(batch: VaultBatch, leaves: set[bytes]) -> set[bytes]:
    """Compare stored decisions with their leaves, and return those. Leaves of erased decisions stay and reveal nothing."""
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
    return set(current.values())
