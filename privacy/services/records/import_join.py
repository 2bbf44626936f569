"""Join an outcome that a later row reports to its decision, while the decision is open, and compare the outcomes of two rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from core.arrays import Floats
from loops.engine.reward import reward_total
from loops.engine.rows.outcomes import NO_REWARD
from loops.engine.spec import LoopSpec
from privacy.models import RewardSignal


@dataclass(frozen=True, slots=True)
class ImportedOutcome:
    """What a row reports after a decision. ``reward`` is float64[7], NaN where not observed; ``harmful`` None without a label.

    ``reported`` is False where the loop's default stands in for the reward.
    """

    reward: Floats
    harmful: bool | None
    reported: bool

    def adds_to(self, less: ImportedOutcome, spec: LoopSpec) -> bool:
        """Return whether this outcome says everything that ``less`` says, and perhaps more."""
        own, given = self._observed, less._observed
        same = np.isnan(given) | (given == own)
        is_sum = given[0] == reward_total(spec, given[1:]) and own[0] == reward_total(spec, own[1:])
        return bool(less.harmful in (None, self.harmful) and same[1:].all() and (same[0] or is_sum))

    @property
    def _observed(self) -> Floats:
        return self.reward if self.reported else NO_REWARD


def imported_outcome(payload: bytes | None, harmful: bool | None, *, reported: bool = True) -> ImportedOutcome:
    """Return an outcome by its payload, None where nothing was observed."""
    return ImportedOutcome(NO_REWARD if payload is None else np.frombuffer(payload, dtype="<f8"), harmful, reported)


def stored_outcome(spec: LoopSpec, payload: bytes | None, harmful: bool | None) -> ImportedOutcome:
    """Return a stored outcome. One that is nothing but the loop's default counts as not reported."""
    stored = imported_outcome(payload, harmful)
    is_default = stored.reward[0] == spec.reward.default and bool(np.isnan(stored.reward[1:]).all())
    return ImportedOutcome(stored.reward, harmful, reported=not is_default)


def is_open(spec: LoopSpec, decided_at: datetime, now: datetime) -> bool:
    """Return whether a decision's outcome may still be reported, as through the API: until the loop's deadline."""
    return now <= decided_at + timedelta(seconds=spec.reward.deadline_seconds)


def outcome_join(*, decision: int, sealed: bytes, harmful: bool | None, has_reward: bool, closes_at: datetime) -> bool:
    """Store the outcome of an open decision in place of none, or of a poorer one. False where a release has read that one."""
    values: dict[str, object] = {"payload": sealed, "harmful": harmful, "has_reward": has_reward}
    if RewardSignal.objects.filter(decision=decision, release=None).update(**values):
        return True
    values["closed_at"] = closes_at
    return RewardSignal.objects.get_or_create(decision_id=decision, defaults=values)[1]
