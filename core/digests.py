"""Compute keyed digests. Every use of ``ANONYMIZATION_SALT`` is listed here, each in a context of its own.

A new context uses the default scheme. Its key is HKDF-SHA-256 (RFC 5869) of the salt, and its parts are length-prefixed, so no
two contexts and no two lists of parts share a message. The permanent contexts are older. Their digests are stored, sealed or
known outside the database, so each keeps its first key and framing (docs/decisions, number 15, gives the reason for each).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

Part = str | bytes
_DIGEST_KEY_BYTES = 32


def _hkdf_key(salt: bytes, label: str) -> bytes:
    info = b"r3al keyed digest " + label.encode()
    return HKDF(algorithm=SHA256(), length=_DIGEST_KEY_BYTES, salt=None, info=info).derive(salt)


def _hmac_key(salt: bytes, label: str) -> bytes:
    return hmac.digest(salt, label.encode(), "sha256")


def _salt_itself(salt: bytes, label: str) -> bytes:
    return salt


def _hash_key(salt: bytes, label: str) -> bytes:
    return hashlib.sha256(label.encode() + b"\0" + salt).digest()


def _prefixed(parts: Sequence[bytes]) -> bytes:
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def _hmac_32(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _hmac_16(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")[:16]


def _blake_16(key: bytes, message: bytes) -> bytes:
    """Return a keyed BLAKE2b digest (RFC 7693), for digests that every decision computes: a third of the time of an HMAC."""
    return hashlib.blake2b(message, key=key, digest_size=16).digest()


@dataclass(frozen=True, eq=False, slots=True)
class Context:
    """Define one purpose of digests.

    ``derive`` makes the key from salt and label. ``frame`` joins the parts to one message. ``mac`` computes the digest.
    """

    label: str
    derive: Callable[[bytes, str], bytes] = _hkdf_key
    frame: Callable[[Sequence[bytes]], bytes] = _prefixed
    mac: Callable[[bytes, bytes], bytes] = _hmac_32


# Digests that are recomputed each time, or stored for a short time only.
PSEUDONYM = Context("pseudonym", mac=_hmac_16)
RELEASE_COINS = Context("release coins")
IDEMPOTENT_REQUEST = Context("idempotent request")
RELEASE_KEY = Context("release key", mac=_hmac_16)
DECISION_ID = Context("decision id", mac=_blake_16)
# Receivers of webhooks keep these secrets, so their context never changes.
WEBHOOK_SECRET = Context("webhook secret")
# Stored in the Trust Vault: like the permanent contexts below, these never change.
VAULT_CHAIN = Context("trust vault chain")
VAULT_HEAD = Context("trust vault head")
VAULT_ROW = Context("trust vault row")

# Permanent: these keep their first derivation. Parts are joined by NUL, which only the last part may contain.
PERSON = Context("", _salt_itself, b"\0".join)
FOLD = Context("fold", _hmac_key, b"\0".join)
TOMBSTONE = Context("tombstone", _hmac_key, b"\0".join)
# One key for all three: a person's message holds one NUL, a group's is hexadecimal digits and line ends, a leaf's begins with {.
VAULT_PERSON = Context("trust vault", _hmac_key, b"\0".join)
VAULT_GROUP = Context("trust vault", _hmac_key, b"\0".join)
VAULT_LEAF = Context("trust vault", _hmac_key, b"\0".join)
IMPORTED_ROW = Context("row", _hash_key, b"\0".join, _blake_16)
REWARD_ID = Context("outcomes reward", _hmac_key, b"\0".join, _hmac_16)
REWARD_CONTENT = Context("outcomes content", _hmac_key, b"\0".join, _hmac_16)
SIGNAL_ID = Context("outcomes signal id", _hmac_key, b"\0".join, _hmac_16)
SIGNAL_CONTENT = Context("outcomes signal", _hmac_key, b"\0".join, _hmac_16)
DECISION_REQUEST = Context("serving request", _hmac_key, b"\0".join, _blake_16)
DECISION_SEED = Context("serving seed", _hmac_key, b"\0".join, _blake_16)

CONTEXTS = (
    PSEUDONYM, RELEASE_COINS, IDEMPOTENT_REQUEST, RELEASE_KEY, DECISION_ID, WEBHOOK_SECRET, VAULT_CHAIN, VAULT_HEAD,
    VAULT_ROW, PERSON, FOLD, TOMBSTONE, VAULT_PERSON, VAULT_GROUP, VAULT_LEAF, IMPORTED_ROW, REWARD_ID, REWARD_CONTENT,
    SIGNAL_ID, SIGNAL_CONTENT, DECISION_REQUEST, DECISION_SEED,
)  # fmt: skip


def keyed(context: Context, *parts: Part) -> bytes:
    """Return the keyed digest of the parts in one context: 32 bytes, or 16 where the context declares it.

    Args: parts: bytes, or strings that are encoded as UTF-8.
    """
    message = context.frame([part.encode() if isinstance(part, str) else part for part in parts])
    return context.mac(_key(settings.ANONYMIZATION_SALT, context), message)


@cache
def _key(salt: str, context: Context) -> bytes:
    return context.derive(salt.encode(), context.label)
