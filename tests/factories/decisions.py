"""Decisions stored directly, without serving: sealed as the platform seals them, open for an outcome, or only imported."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from loops.models import LoopVersion
from privacy.models import Choice, Decision, ServedDecision
from privacy.services.vault.commitments import decision_public_id
from tests.factories.sealed import sealed_state

NOW = datetime(2025, 3, 3, 12, 0, 0, 123456, tzinfo=UTC)


def decision(
    version: LoopVersion,
    person_id: int,
    state: Sequence[float] | np.ndarray,
    at: datetime,
    *,
    row_key: bytes | None = None,
    available: bool = True,
) -> Decision:
    """A decision that is not saved yet, its state sealed for the person."""
    key = row_key or uuid.uuid4().bytes
    return Decision(
        person_id=person_id, loop_version=version, row_key=key, decided_at=at, local_day=at.date(), available=available,
        state=sealed_state(person_id, key, state),
    )  # fmt: skip


def served(made: Decision, **columns: Any) -> ServedDecision:
    """A saved decision as serving leaves it: expired and due at its own time unless told otherwise."""
    seed = uuid.uuid4().bytes
    return ServedDecision.objects.create(
        decision=made, person_id=made.person_id, request_key=uuid.uuid4().bytes, seed=seed,
        public_id=decision_public_id(seed), **{"expires_at": made.decided_at, "closes_at": made.decided_at, **columns},
    )  # fmt: skip


def serve_many(version: LoopVersion, people: list[int], *, first: int = 0) -> list[int]:
    """One served decision with two heads for each person named, a sixth of them unavailable. Their ids."""
    made = []
    for n, person in enumerate(people, first):
        available = n % 6 != 5
        one = decision(version, person, [n / 7, 0.1], NOW + timedelta(seconds=n), available=available)
        one.save()
        why = "" if available else "cooldown"
        served(one, exploration_bp=1_000, unavailable=why, expires_at=NOW, closes_at=NOW)
        for head in ("tone", "policy") if available else ():
            Choice.objects.create(
                decision=one, head=head, action=n % 3, propensity=1 / 3, marginal_propensity=0.1 + 1 / 30,
                explored=True, version=7, generation=2, eligible=None,
            )  # fmt: skip
        made.append(one.pk)
    return made
