"""Compute keyed digests of a request: the key that finds a retry, and the seed of every draw."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

import msgspec

from core.digests import DECISION_REQUEST, DECISION_SEED, keyed
from deployments.services.serving.requests import DecisionRequest
from privacy.services.vault.commitments import decision_public_id


class DecisionKeys(NamedTuple):
    """Hold a decision's keys. ``seed``: 16 bytes that determine every draw. ``public_id``: the decision's id for the app."""

    seed: bytes
    public_id: UUID


def request_key(request: DecisionRequest) -> bytes:
    """Return 16 bytes that depend on the app's request id and on a secret."""
    return keyed(DECISION_REQUEST, request.request_id)


def decision_keys(person_key: str, request: DecisionRequest) -> DecisionKeys:
    """Derive a decision's seed and public id.

    The seed depends on the person, the whole request body and a secret. The id is a keyed digest of the seed, so nobody can guess
    it and it needs no system call for randomness.
    """
    body = msgspec.json.encode(request, order="sorted").decode()
    seed = keyed(DECISION_SEED, f"{person_key}\0{body}")
    return DecisionKeys(seed, decision_public_id(seed))
