"""Keyed digests of a request: what a retry is found by, and what every draw of a decision follows from."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

import msgspec

from core.digests import DECISION_ID, DECISION_REQUEST, DECISION_SEED, keyed
from deployments.services.serving.requests import DecisionRequest


class DecisionKeys(NamedTuple):
    """``seed``: 16 bytes that every draw follows from; ``public_id``: what the app knows the decision by."""

    seed: bytes
    public_id: UUID


def request_key(request: DecisionRequest) -> bytes:
    """16 bytes that depend on the app's request id, and on a secret."""
    return keyed(DECISION_REQUEST, request.request_id)


def decision_keys(person_key: str, request: DecisionRequest) -> DecisionKeys:
    """The seed depends on the person, the request and its whole body, and on a secret. The id is a keyed digest of the seed:
    nobody can guess it, and no system call is needed.
    """
    body = msgspec.json.encode(request, order="sorted").decode()
    seed = keyed(DECISION_SEED, f"{person_key}\0{body}")
    return DecisionKeys(seed, UUID(bytes=keyed(DECISION_ID, seed)))
