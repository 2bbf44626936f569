"""Compute checksums without a key. They detect changed bytes and hide nothing."""

from __future__ import annotations

import hashlib


def sha256_hex(blob: bytes | memoryview) -> str:
    """Return the SHA-256 digest of the bytes as 64 hexadecimal digits."""
    return hashlib.sha256(blob).hexdigest()
