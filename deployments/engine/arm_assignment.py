"""Assign people to the arms of a serving slot: its stable version, its candidate or its holdback."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from deployments.engine.action_selection import HeadPolicy
from deployments.engine.traffic_shares import BASIS_POINTS

EPOCH = timedelta(days=7)  # a week of a deployment: people give one value in it, and a rotating holdback stays as it is
_TWO_64 = 2.0**64


@dataclass(frozen=True)
class SlotFacts:
    """Hold a serving slot as it was read from the database.

    ``rotates_since``: when the deployment began whose holdback is drawn anew each week. None: the holdback is fixed. ``shadow``:
    a version that decides beside the others, and whose actions nobody gets. ``app_chooses``: the app's own choices are served.
    """

    head: str
    stable: int
    candidate: int | None
    weight_bp: int
    holdback: int | None
    holdback_bp: int
    exploration_bp: int
    salt: str
    generation: int
    rotates_since: datetime | None = None
    shadow: int | None = None
    app_chooses: bool = False

    def drawn_by(self, now: datetime) -> str:
        """Return the salt by which the holdback is drawn at this time. A rotating one has another salt in each week."""
        if self.rotates_since is None:
            return self.salt
        return f"{self.salt} week {week_of(self.rotates_since, now)} "


@dataclass(frozen=True)
class SlotArms:
    """Hold a slot with the loaded policies of its arms. ``stable`` serves everybody who is in no other arm."""

    slot: SlotFacts
    stable: HeadPolicy
    candidate: HeadPolicy | None
    holdback: HeadPolicy | None

    def of(self, person_key: str, now: datetime) -> HeadPolicy:
        """Return the policy of the person's arm at this time."""
        slot = self.slot
        if self.candidate is not None and assignment(slot.salt, person_key) < slot.weight_bp / BASIS_POINTS:
            return self.candidate
        if self.holdback is not None:
            u = assignment(slot.drawn_by(now), person_key)
            if u >= 1.0 - slot.holdback_bp / BASIS_POINTS:
                return self.holdback
        return self.stable


def week_of(began: datetime, now: datetime) -> int:
    """Return the number of the deployment's week at a time: 1 for the week that starts with the deployment."""
    return 1 + max(0, (now - began) // EPOCH)


def head_policies_for(arms: Sequence[SlotArms], person_key: str, now: datetime) -> list[HeadPolicy]:
    """Return the policy that serves this person for each head at this time, in the order of the slots."""
    return [head.of(person_key, now) for head in arms]


def assignment(salt: str, person_key: str) -> float:
    """Return a person's fixed position in [0, 1) under a slot's salt.

    It is fixed so that a ramp of the candidate's traffic only adds people.
    """
    return int.from_bytes(hashlib.blake2b((salt + person_key).encode(), digest_size=8).digest(), "big") / _TWO_64
