"""Seal records with AES-256-GCM under a person's data key, or exported rows under a key of the export. A master key wraps both.

Every seal has a random nonce of 96 bits and is bound to its place by the associated data ``about``. A seal that is moved to
another row or column cannot be opened. A key seals far fewer than 2^32 records, the bound for random nonces (NIST SP 800-38D,
section 8.3).
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES, _NONCE_BYTES = 32, 12
OVERHEAD = _NONCE_BYTES + 16
Bytes = bytes | memoryview


class CannotOpen(ValueError):
    """Raised for bytes that were sealed by another key or for another place, or that have changed."""


class CannotUnwrap(CannotOpen):
    """Raised for a data key that cannot be opened, because another master key wrapped it."""


class Cipher:
    """Seals and opens bytes with one key. The key never leaves the process, and nothing prints it."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plain: bytes, about: bytes) -> bytes:
        """Return nonce, ciphertext and tag: ``OVERHEAD`` bytes more than ``plain``."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """Return the plain bytes. Raises CannotOpen, whose text names the place (``about``) and reveals no content."""
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about)
        except (InvalidTag, ValueError):
            raise CannotOpen(f"{about!r} cannot be opened") from None


def new_key() -> bytes:
    """Return a fresh random data key."""
    return secrets.token_bytes(KEY_BYTES)


def master_cipher(secret: str) -> Cipher:
    """Derive the master key from a secret by HKDF-SHA-256 (RFC 5869)."""
    return Cipher(
        HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"r3al master key").derive(secret.encode())
    )


def wrap(master: Cipher, key: bytes, *, version: int, person_id: int) -> bytes:
    """Seal one person's data key with the master key of a version."""
    return master.seal(key, b"data key %d %d" % (version, person_id))


def unwrap(master: Cipher, wrapped: bytes, *, version: int, person_id: int) -> bytes:
    """Unwrap a data key. Raises CannotUnwrap."""
    try:
        return master.open(wrapped, b"data key %d %d" % (version, person_id))
    except CannotOpen as error:
        raise CannotUnwrap(str(error)) from None


def unwrap_cipher(master: Cipher, wrapped: bytes, *, version: int, person_id: int) -> Cipher:
    """Unwrap a data key as a cipher, ready for use. Raises CannotUnwrap."""
    return Cipher(unwrap(master, wrapped, version=version, person_id=person_id))


def wrap_export(master: Cipher, key: bytes, *, version: int, release_id: int, index: int) -> bytes:
    """Seal the key of one export's rows with the master key of a version."""
    return master.seal(key, b"export key %d %d %d" % (version, release_id, index))


def unwrap_export(master: Cipher, wrapped: bytes, *, version: int, release_id: int, index: int) -> bytes:
    """Unwrap the key of one export's rows. Raises CannotUnwrap."""
    try:
        return master.open(wrapped, b"export key %d %d %d" % (version, release_id, index))
    except CannotOpen as error:
        raise CannotUnwrap(str(error)) from None


def about_export(release_id: int, index: int) -> bytes:
    """Return the associated data of the rows that one round of a release exports."""
    return b"export %d %d" % (release_id, index)


def about_signal(person_id: int, signal_key: Bytes) -> bytes:
    """Return the associated data of a signal's payload."""
    return f"signal {person_id} {signal_key.hex()}".encode()


def about_reward(served_id: int, reward_key: Bytes) -> bytes:
    """Return the associated data of a reward event's payload."""
    return f"reward {served_id} {reward_key.hex()}".encode()


def about_state(person_id: int, row_key: Bytes) -> bytes:
    """Return the associated data of the state at a decision."""
    return b"state %d " % person_id + row_key


def about_outcome(person_id: int, row_key: Bytes) -> bytes:
    """Return the associated data of a decision's outcome."""
    return b"outcome %d " % person_id + row_key


def about_serving_state(person_id: int, loop_id: int) -> bytes:
    """Return the associated data of a person's serving state in one loop."""
    return b"memory %d %d" % (person_id, loop_id)


def open_state(cipher: Cipher, sealed: bytes, *, person_id: int, row_key: Bytes) -> bytes:
    """Open the state at a decision. Raises CannotOpen."""
    return cipher.open(sealed, about_state(person_id, row_key))


def open_serving_state(
    master: Cipher, wrapped: bytes, memory: bytes, *, version: int, person_id: int, loop_id: int
) -> tuple[Cipher, bytes]:
    """Unwrap a person's data key and open their serving state with it. Empty ``memory`` stays empty. Raises CannotOpen."""
    cipher = unwrap_cipher(master, wrapped, version=version, person_id=person_id)
    return cipher, cipher.open(memory, about_serving_state(person_id, loop_id)) if memory else b""


def seal_decision(
    cipher: Cipher, state: bytes, memory: bytes, *, person_id: int, loop_id: int, row_key: bytes
) -> tuple[bytes, bytes]:
    """Seal the state at a decision, and the person's serving state after it."""
    return cipher.seal(state, about_state(person_id, row_key)), cipher.seal(
        memory, about_serving_state(person_id, loop_id)
    )
