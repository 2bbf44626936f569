"""Checksums without a key: they tell whether bytes changed, and hide nothing."""

from __future__ import annotations

import hashlib


def sha256_hex(blob: bytes | memoryview) -> str:
    """Return the SHA-256 of the bytes as 64 hexadecimal digits."""
    return hashlib.sha256(blob).hexdigest()
