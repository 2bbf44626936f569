"""Seal served decisions in the Trust Vault in batches: a Merkle tree over keyed digests of each decision's facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import connection, transaction

from core.canonical_json import canonical_json
from core.checksums import sha256_hex
from core.digests import VAULT_LEAF, keyed
from privacy.engine.hash_chain import merkle_root
from privacy.engine.sealing import CannotOpen, Cipher
from privacy.models import ServedDecision, VaultBatch, VaultEvent, VaultKind
from privacy.selectors.keys import ciphers_known, state_of
from privacy.services.vault.append import subject_of, time_text, vault_append
from privacy.services.vault.commitments import decision_public_id

LEAF = 32  # bytes
EDITION = {
    "leaf": 2
}  # of the facts in a leaf. The events of earlier batches lack it, and their leaves cover fewer facts


def decisions_seal(*, limit: int = 5_000) -> VaultEvent | None:
    """Seal up to ``limit`` decisions that are in no batch, in one event. Returns None when there are none left to seal.

    Decisions that another worker is sealing are skipped. A decision is in at most one batch, also with concurrent or killed
    workers: its row is locked and marked in the transaction that appends. Leaves are computed before it, because the facts that
    they cover never change. A decision that the platform cannot have made is left out, and a verification names it.
    """
    waiting, last = ServedDecision.objects.filter(vault_batch__isnull=True).order_by("pk"), 0
    while pks := list(waiting.filter(pk__gt=last).values_list("pk", flat=True)[:limit]):
        leaves = genuine_leaves(batch_rows(pks))
        if leaves:
            return _seal(leaves)
        last = pks[-1]
    return None


@transaction.atomic
def _seal(leaves: dict[int, bytes]) -> VaultEvent | None:
    skip = connection.features.has_select_for_update_skip_locked
    # no_key: reward events, which reference these rows, can still be inserted.
    unsealed = ServedDecision.objects.filter(pk__in=leaves, vault_batch__isnull=True).order_by("pk")
    ids = list(unsealed.select_for_update(skip_locked=skip, no_key=True).values_list("pk", flat=True))
    if not ids:
        return None
    sealed = [leaves[pk] for pk in ids]
    root = merkle_root(sealed).hex()
    body = {"decisions": len(sealed), "root": root, **EDITION}
    event = vault_append(kind=VaultKind.DECISIONS, body=body)
    VaultBatch.objects.create(event=event, decisions_count=len(sealed), leaves=b"".join(sealed), root=root)
    ServedDecision.objects.filter(pk__in=ids).update(vault_batch_id=event.pk)
    return event


def batch_rows(ids: Iterable[int]) -> Sequence[ServedDecision]:
    """Read decisions with everything that their leaves cover, in order of id."""
    rows = ServedDecision.objects.filter(pk__in=list(ids)).select_related("decision__person", "decision__loop_version")
    return list(rows.prefetch_related("decision__choices").order_by("pk"))


def decision_leaves(rows: Sequence[ServedDecision]) -> dict[int, bytes]:
    """Return the leaf of each decision by its id, without the decisions of people erased meanwhile.

    A sealed decision has the leaf of its batch's edition, and any other one that of today's.
    """
    keys, first = ciphers_known({served.person_id for served in rows}), _first_batches(rows)
    return {
        served.pk: _leaf(served, keys[served.person_id], is_first=served.vault_batch_id in first)
        for served in rows
        if served.person_id in keys
    }


def _first_batches(rows: Sequence[ServedDecision]) -> set[int | None]:
    """Return the batches of these decisions whose leaves are of the first edition."""
    events = VaultEvent.objects.filter(pk__in={served.vault_batch_id for served in rows if served.vault_batch_id})
    return set(events.exclude(body__has_key="leaf").values_list("pk", flat=True))


def genuine_leaves(rows: Sequence[ServedDecision]) -> dict[int, bytes]:
    """Return the leaf of each decision that the platform made, by its id.

    Without the keys nobody can seal a state, nor compute a public id from a seed. So a decision inserted by hand has neither.
    """
    keys = ciphers_known({served.person_id for served in rows})
    return {
        served.pk: _leaf(served, keys[served.person_id])
        for served in rows
        if served.person_id in keys and _is_genuine(served, keys[served.person_id])
    }


def _is_genuine(served: ServedDecision, cipher: Cipher) -> bool:
    try:
        state_of(served.decision, cipher)
    except CannotOpen:
        return False
    return served.public_id == decision_public_id(bytes(served.seed))


def _leaf(served: ServedDecision, cipher: Cipher, *, is_first: bool = False) -> bytes:
    """Return a keyed digest (32 bytes) of the facts that never change once a decision is served.

    The state enters as a digest, or as an empty text if it can no longer be opened. ``is_first``: whether the leaf is one of the
    first edition, which lacks the facts below ``more``.
    """
    decision = served.decision
    try:
        state = sha256_hex(state_of(decision, cipher).tobytes())
    except CannotOpen:
        state = ""
    choices = sorted(decision.choices.all(), key=lambda c: c.head)
    facts = {
        "id": str(served.public_id),
        "at": time_text(decision.decided_at),
        "loop": decision.loop_version_id,
        "subject": subject_of(decision.person),
        "state": state,
        "seed": bytes(served.seed).hex(),
        "exploration": served.exploration_bp,
        "unavailable": served.unavailable,
        "choices": [
            [
                c.head, c.action, _hex(c.propensity), _hex(c.marginal_propensity), c.explored, c.learnable, c.version,
                c.generation, c.eligible, c.fallback,
            ]
            for c in choices
        ],
    }  # fmt: skip
    if is_first:
        return keyed(VAULT_LEAF, canonical_json(facts))
    more = {
        "created": time_text(decision.created_at),
        "day": decision.local_day.isoformat(),
        "available": decision.available,
        "left": decision.dropped_out,
        "row": bytes(decision.row_key).hex(),
        "served": [served.person_id, bytes(served.request_key).hex(), served.clamped],
        "expires": time_text(served.expires_at),
        "closes": time_text(served.closes_at),
    }
    return keyed(VAULT_LEAF, canonical_json(facts | more))


def _hex(propensity: float | None) -> str | None:
    """Return every bit of a propensity as text, or None for a choice that the app made itself."""
    return None if propensity is None else propensity.hex()
