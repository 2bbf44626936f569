"""Compute the keyed values of the Trust Vault: hashes of its chain, the seal of its head, and digests of stored rows.

Whoever can write to the database, but lacks ``ANONYMIZATION_SALT``, can compute none of them.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from core.canonical_json import facts_json
from core.digests import DECISION_ID, VAULT_CHAIN, VAULT_HEAD, VAULT_ROW, keyed
from privacy.engine.hash_chain import event_bytes


def chain_hash(**event: Any) -> str:
    """Return the keyed hash (hexadecimal) of an event together with the previous event's hash."""
    return keyed(VAULT_CHAIN, event_bytes(**event)).hex()


def head_seal(sequence: int, digest: str) -> str:
    """Return the seal of the chain's end. Nobody without the key can set the head back to an earlier event."""
    return keyed(VAULT_HEAD, str(sequence), digest).hex()


def row_digest(table: str, *facts: Any) -> str:
    """Return a keyed digest (64 hexadecimal digits) of one row's facts, equal before and after they were stored.

    Args: table: what the rows are called, so that no two tables share a digest.
    """
    return keyed(VAULT_ROW, table, facts_json(facts)).hex()


def text_digest(text: str) -> str:
    """Return what a permanent event holds in place of a text that somebody typed: a keyed digest (32 hexadecimal digits).

    The text itself is in a row that can be deleted. Whoever has both and the key can tell that they belong together.
    """
    return row_digest("free text", text)[:32]


def decision_public_id(seed: bytes) -> UUID:
    """Return the public id of a served decision: a keyed digest of its seed. Nobody can guess it or make up another."""
    return UUID(bytes=keyed(DECISION_ID, seed))
