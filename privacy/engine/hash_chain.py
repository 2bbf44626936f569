"""The arithmetic of the Trust Vault: the hash chain and Merkle trees."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.canonical_json import canonical_json
from core.checksums import sha256_hex

GENESIS = sha256_hex(b"r3al trust vault")
MODULUS = 1 << 256
LARGEST_EVENT = 8_192  # bytes of an event's body: ids, numbers, short texts and commitments, never a payload


def event_bytes(*, sequence: int, kind: str, at: str, subject: str, body: Mapping[str, Any], previous: str) -> bytes:
    """Return an event as canonical JSON, together with the previous event's hash."""
    facts = {"sequence": sequence, "kind": kind, "at": at, "subject": subject, "body": dict(body), "previous": previous}
    return canonical_json(facts)


def event_hash(*, sequence: int, kind: str, at: str, subject: str, body: Mapping[str, Any], previous: str) -> str:
    """Return the unkeyed SHA-256 (hexadecimal) of an event. Chains of earlier versions start with such hashes."""
    return sha256_hex(event_bytes(sequence=sequence, kind=kind, at=at, subject=subject, body=body, previous=previous))


def digests_sum(digests: Iterable[str]) -> int:
    """Return the sum of hexadecimal digests modulo 2^256. It commits to a set of rows that grows and shrinks row by row.

    Source: Bellare and Micciancio, "A new paradigm for collision-free hashing: incrementality at reduced cost" (AdHash). The
    digests are keyed, so nobody without the key can look for two sets with one sum.
    """
    return sum(int(digest, 16) for digest in digests) % MODULUS


def sum_text(total: int) -> str:
    """Return a sum of digests as 64 hexadecimal digits, also of a negative one (rows that are taken away)."""
    return f"{total % MODULUS:064x}"


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
