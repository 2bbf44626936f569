"""Sealing: AES-256-GCM under a person's data key, which is itself sealed by a master key.

Every seal has a random nonce of 96 bits and is bound to what it is (``about``): moved to another row or column it cannot be
opened. A key seals far fewer than 2^32 records, the bound for random nonces (NIST SP 800-38D, section 8.3).
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
    """The bytes were sealed by another key, for another place, or have changed."""


class CannotUnwrap(CannotOpen):
    """A data key cannot be opened: its master key is another one."""


class Cipher:
    """A key at work. It never leaves the process, and nothing prints it."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plain: bytes, about: bytes) -> bytes:
        """Nonce, ciphertext and tag: ``OVERHEAD`` bytes more than ``plain``."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """What was sealed. Raises CannotOpen, which says what it was and nothing of what it held."""
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about)
        except (InvalidTag, ValueError):
            raise CannotOpen(f"{about!r} cannot be opened") from None


def new_key() -> bytes:
    """A fresh data key."""
    return secrets.token_bytes(KEY_BYTES)


def master_cipher(secret: str) -> Cipher:
    """The master key of a secret: HKDF-SHA-256 (RFC 5869)."""
    return Cipher(
        HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"r3al master key").derive(secret.encode())
    )


def wrap(master: Cipher, key: bytes, *, version: int, person_id: int) -> bytes:
    """A data key sealed by the master key of a version, for one person."""
    return master.seal(key, b"data key %d %d" % (version, person_id))


def unwrap(master: Cipher, wrapped: bytes, *, version: int, person_id: int) -> bytes:
    """Unwrap a data key. Raises CannotUnwrap."""
    try:
        return master.open(wrapped, b"data key %d %d" % (version, person_id))
    except CannotOpen as error:
        raise CannotUnwrap(str(error)) from None


def unwrap_cipher(master: Cipher, wrapped: bytes, *, version: int, person_id: int) -> Cipher:
    """Unwrap a data key, ready for use. Raises CannotUnwrap."""
    return Cipher(unwrap(master, wrapped, version=version, person_id=person_id))


def about_signal(person_id: int, signal_key: Bytes) -> bytes:
    """What a signal's payload is bound to."""
    return f"signal {person_id} {signal_key.hex()}".encode()


def about_reward(served_id: int, reward_key: Bytes) -> bytes:
    """What the payload of a word about a decision is bound to."""
    return f"reward {served_id} {reward_key.hex()}".encode()


def about_state(person_id: int, row_key: Bytes) -> bytes:
    """What the state at a decision is bound to."""
    return b"state %d " % person_id + row_key


def about_outcome(person_id: int, row_key: Bytes) -> bytes:
    """What a decision's outcome is bound to."""
    return b"outcome %d " % person_id + row_key


def about_memory(person_id: int, loop_id: int) -> bytes:
    """What serving's memory of a person is bound to."""
    return b"memory %d %d" % (person_id, loop_id)


def open_state(cipher: Cipher, sealed: bytes, *, person_id: int, row_key: Bytes) -> bytes:
    """Open the state at a decision. Raises CannotOpen."""
    return cipher.open(sealed, about_state(person_id, row_key))


def open_serving_state(
    master: Cipher, wrapped: bytes, memory: bytes, *, version: int, person_id: int, loop_id: int
) -> tuple[Cipher, bytes]:
    """Unwrap a person's data key and open with it what serving keeps of them (empty: nothing yet). Raises CannotOpen."""
    cipher = unwrap_cipher(master, wrapped, version=version, person_id=person_id)
    return cipher, cipher.open(memory, about_memory(person_id, loop_id)) if memory else b""


def seal_decision(
    cipher: Cipher, state: bytes, memory: bytes, *, person_id: int, loop_id: int, row_key: bytes
) -> tuple[bytes, bytes]:
    """Seal the state at a decision and what serving keeps of the person after it."""
    return cipher.seal(state, about_state(person_id, row_key)), cipher.seal(memory, about_memory(person_id, loop_id))
