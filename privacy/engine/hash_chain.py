"""The arithmetic of the Trust Vault: canonical JSON, the hash chain, Merkle trees."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

GENESIS = hashlib.sha256(b"r3al trust vault").hexdigest()
LARGEST_EVENT = 8_192  # bytes of an event's body: ids, numbers, short texts and commitments, never a payload
_DEEPEST = 16


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8: the same bytes before and after a JSON column of either database.

    Raises ValueError for what has no such form: numbers that are not finite, whole floats, bytes, keys that are no texts.
    """
    _check(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _check(value: Any, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_key(key)
            _check(inner, depth + 1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check(inner, depth + 1)
    else:
        _check_plain(value)


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise ValueError(f"the key {key!r} is no text")
    _check_plain(key)


def _check_plain(value: object) -> None:
    if isinstance(value, float):
        # A database may give 1.0 back as 1, and then the hash would be another: such numbers are kept as integers.
        if not math.isfinite(value) or value.is_integer():
            raise ValueError(f"{value!r} has no canonical form; give a whole number as an integer")
    elif isinstance(value, str):
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise ValueError("a text holds a character that databases do not keep")
    elif value is not None and not isinstance(value, (int, bool)):
        raise ValueError(f"a {type(value).__name__} has no canonical form")


def event_hash(*, sequence: int, kind: str, at: str, subject: str, body: Mapping[str, Any], previous: str) -> str:
    """SHA-256 over the canonical event and the hash before it."""
    facts = {"sequence": sequence, "kind": kind, "at": at, "subject": subject, "body": dict(body), "previous": previous}
    return hashlib.sha256(canonical_json(facts)).hexdigest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root (32 bytes) of 32-byte leaves, nodes and leaves told apart by a prefix, as in RFC 6962. Raises ValueError for none."""
    if not leaves:
        raise ValueError("a tree needs a leaf")
    level = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        paired = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + ([level[-1]] if len(level) % 2 else [])
    return level[0]
