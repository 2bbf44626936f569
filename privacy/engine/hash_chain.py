"""The arithmetic of the Trust Vault: the hash chain, Merkle trees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from core.canonical_json import canonical_json
from core.checksums import sha256_hex

GENESIS = sha256_hex(b"r3al trust vault")
LARGEST_EVENT = 8_192  # bytes of an event's body: ids, numbers, short texts and commitments, never a payload


def event_hash(*, sequence: int, kind: str, at: str, subject: str, body: Mapping[str, Any], previous: str) -> str:
    """SHA-256 over the canonical event and the hash before it."""
    facts = {"sequence": sequence, "kind": kind, "at": at, "subject": subject, "body": dict(body), "previous": previous}
    return sha256_hex(canonical_json(facts))


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root (32 bytes) of 32-byte leaves, nodes and leaves told apart by a prefix, as in RFC 6962. Raises ValueError for none."""
    if not leaves:
        raise ValueError("a tree needs a leaf")
    level = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        paired = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + ([level[-1]] if len(level) % 2 else [])
    return level[0]
