"""Make a shadow of a loop: people simulated from its file alone, and one crafted person, the canary.

The canary has the largest contribution to every block that clipping lets through. No row of a real person is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from core.errors import InputError
from loops.engine.spec import Feature, LoopSpec
from privacy.engine.moments.clipping import nominal_decisions
from privacy.engine.moments.null_population import NULL_PEOPLE, null_rows
from privacy.engine.moments.rows import ReleaseRows, SubHeadRows

SHADOW_PEOPLE = 20  # beside the canary; the adversary knows them all, so more would only cost time
CANARY_ROWS = 200
_REWARD = 100.0  # in reward scales, far beyond every clip


@dataclass(frozen=True)
class Shadow:
    """Two neighbouring databases in memory: ``others`` alone, and with ``canary``."""

    spec: LoopSpec
    others: ReleaseRows
    canary: ReleaseRows

    @property
    def state(self) -> Floats:
        """Return the canary's state (1, F)."""
        return self.canary.state[:1]


def shadow_of(spec: LoopSpec, people: int = SHADOW_PEOPLE) -> Shadow:
    """Simulate people who behave as the loop file declares, and craft the canary.

    Raises: InputError unless there are 1 to 100 people.
    """
    if not 1 <= people <= NULL_PEOPLE // 4:
        raise InputError(f"a shadow of {people} people is not possible; use 1 to {NULL_PEOPLE // 4}")
    everybody = null_rows(spec, decisions=nominal_decisions(spec))
    return Shadow(spec, everybody.of_people(0, people), canary_rows(spec))


def canary_rows(spec: LoopSpec, rows: int = CANARY_ROWS) -> ReleaseRows:
    """Return the canary: every row at the same end of every range, with the same rare action and an absurd reward."""
    here, there = (np.array([_extreme(f, high) for f in spec.features]) for high in (True, False))
    moved = np.array([f.dynamics == "learned" for f in spec.features])
    head, sure = spec.main_head, np.ones(rows, bool)
    action = _rarest(head.logging, head.reference_index)
    subs = {}
    for sub in spec.sub_heads:
        chosen = _rarest(sub.logging, sub.reference_index)
        subs[sub.name] = SubHeadRows(np.full(rows, chosen), np.full(rows, sub.logging[chosen]), sure)
    return ReleaseRows(
        person=np.zeros(rows, np.int64),
        state=np.tile(here, (rows, 1)),
        next_state=np.tile(np.where(moved, there, here), (rows, 1)),
        has_next=sure,
        dropped_out=np.zeros(rows, bool),
        action=np.full(rows, action),
        propensity=np.full(rows, head.logging[action]),
        explored=sure,
        reward=np.full(rows, _REWARD * spec.reward.scale),
        subs=subs,
    )


def _extreme(feature: Feature, high: bool) -> float:
    if feature.is_category:
        return float(len(feature.categories) - 1 if high else 0)
    return float(feature.range[1 if high else 0])


def _rarest(logging: tuple[float, ...], reference: int) -> int:
    """Return the least logged action except the reference: its centred contribution is the largest."""
    return min((k for k in range(len(logging)) if k != reference), key=lambda k: logging[k])
