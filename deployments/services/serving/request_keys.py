"""Keyed digests of a request: what a retry is found by, and what every draw of a decision follows from."""

from __future__ import annotations

import hashlib
import hmac
from functools import cache
from typing import NamedTuple
from uuid import UUID

import msgspec
from django.conf import settings

from deployments.services.serving.requests import DecisionRequest


class DecisionKeys(NamedTuple):
    """``seed``: 16 bytes that every draw follows from; ``public_id``: what the app knows the decision by."""

    seed: bytes
    public_id: UUID


def request_key(request: DecisionRequest) -> bytes:
    """16 bytes that depend on the app's request id, and on a secret."""
    return _digest("request", request.request_id.encode())


def decision_keys(person_key: str, request: DecisionRequest) -> DecisionKeys:
    """The seed depends on the person, the request and its whole body, and on a secret. The id is a keyed digest of the seed:
    nobody can guess it, and no system call is needed.
    """
    body = msgspec.json.encode(request, order="sorted").decode()
    seed = _digest("seed", f"{person_key}\0{body}".encode())
    return DecisionKeys(seed, UUID(bytes=_digest("id", seed)))


def _digest(purpose: str, what: bytes) -> bytes:
    return hashlib.blake2b(what, key=_key(purpose), digest_size=16).digest()


@cache
def _key(purpose: str) -> bytes:
    return hmac.digest(settings.ANONYMIZATION_SALT.encode(), f"serving {purpose}".encode(), "sha256")
