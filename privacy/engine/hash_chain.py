"""The arithmetic of the Trust Vault: the hash chain and Merkle trees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from core.canonical_json import canonical_json
from core.checksums import sha256_hex

GENESIS = sha256_hex(b"r3al trust vault")
LARGEST_EVENT = 8_192  # bytes of an event's body: ids, numbers, short texts and commitments, never a payload


def event_hash(*, sequence: int, kind: str, at: str, subject: str, body: Mapping[str, Any], previous: str) -> str:
    """Return the SHA-256 (hexadecimal) of an event as canonical JSON, together with the previous event's hash."""
    facts = {"sequence": sequence, "kind": kind, "at": at, "subject": subject, "body": dict(body), "previous": previous}
    return sha256_hex(canonical_json(facts))


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle root (32 bytes) of 32-byte leaves. A prefix distinguishes leaves from nodes, as in RFC 6962.

    Raises ValueError without leaves.
    """
    if not leaves:
        raise ValueError("a Merkle tree needs at least one leaf")
    level = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        paired = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + ([level[-1]] if len(level) % 2 else [])
    return level[0]
