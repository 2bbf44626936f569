"""Assign people to the arms of a serving slot: its stable version, its candidate or its holdback."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from deployments.engine.action_selection import HeadPolicy
from deployments.engine.traffic_shares import BASIS_POINTS

_TWO_64 = 2.0**64


@dataclass(frozen=True)
class SlotFacts:
    """Hold a serving slot as it was read from the database."""

    head: str
    stable: int
    candidate: int | None
    weight_bp: int
    holdback: int | None
    holdback_bp: int
    exploration_bp: int
    salt: str
    generation: int


@dataclass(frozen=True)
class SlotArms:
    """Hold a slot with the loaded policies of its arms. ``stable`` serves everybody who is in no other arm."""

    slot: SlotFacts
    stable: HeadPolicy
    candidate: HeadPolicy | None
    holdback: HeadPolicy | None

    def of(self, person_key: str) -> HeadPolicy:
        """Return the policy of the person's arm."""
        if self.candidate is None and self.holdback is None:
            return self.stable
        u = assignment(self.slot.salt, person_key)
        if self.candidate is not None and u < self.slot.weight_bp / BASIS_POINTS:
            return self.candidate
        if self.holdback is not None and u >= 1.0 - self.slot.holdback_bp / BASIS_POINTS:
            return self.holdback
        return self.stable


def head_policies_for(arms: Sequence[SlotArms], person_key: str) -> list[HeadPolicy]:
    """Return the policy that serves this person for each head, in the order of the slots."""
    return [head.of(person_key) for head in arms]


def assignment(salt: str, person_key: str) -> float:
    """Return a person's fixed position in [0, 1) under a slot's salt.

    It is fixed so that a ramp of the candidate's traffic only adds people.
    """
    return int.from_bytes(hashlib.blake2b((salt + person_key).encode(), digest_size=8).digest(), "big") / _TWO_64
