"""Sealing: AES-256-GCM under a person's data key, which is itself sealed by a master key.

Every seal has a random nonce of 96 bits and is bound to what it is (``about``): moved to another row or column it cannot be
opened. A key seals far fewer than 2^32 records, the bound for random nonces (NIST SP 800-38D, section 8.3).
"""

from __future__ import annotations

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES, _NONCE_BYTES = 32, 12
OVERHEAD = _NONCE_BYTES + 16


class CannotOpen(ValueError):
    """The bytes were sealed by another key, for another place, or have changed."""


def new_key() -> bytes:
    """A fresh data key."""
    return os.urandom(KEY_BYTES)


def master_key(secret: str) -> bytes:
    """The master key of a secret: HKDF-SHA-256 (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"r3al master key").derive(secret.encode())


def seal(key: bytes, plain: bytes, about: str) -> bytes:
    """Nonce, ciphertext and tag: ``OVERHEAD`` bytes more than ``plain``."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, about.encode())


def unseal(key: bytes, sealed: bytes, about: str) -> bytes:
    """What was sealed. Raises CannotOpen."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
    except (InvalidTag, ValueError):
        raise CannotOpen(f"{about} cannot be opened") from None


def wrap(master: bytes, key: bytes, *, version: int, person_id: int) -> bytes:
    """A data key sealed by the master key of a version, for one person."""
    return seal(master, key, f"data key {version} {person_id}")


def unwrap(master: bytes, wrapped: bytes, *, version: int, person_id: int) -> bytes:
    """The data key again. Raises CannotOpen."""
    return unseal(master, wrapped, f"data key {version} {person_id}")


def fingerprint(key: bytes) -> str:
    """Eight hexadecimal digits by which an operator tells master keys apart."""
    return hashlib.sha256(b"fingerprint" + key).hexdigest()[:8]
