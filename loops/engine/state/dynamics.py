"""Known dynamics: features whose next value is computed, so that they cost no privacy. Every rule about them is stated here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from core.arrays import Bools, Floats
from loops.engine.spec import Feature, LoopSpec

DEFAULT_STEPS = 12  # decision points after which since_intervention reaches its end, where a loop declares no step
DEFAULT_DECAY = 0.8  # of recent_load, where a loop declares none
_ROUNDING = 1e-6  # of a turn; the shortest step, of a clock with 1,440 points a day, is 7e-4
KnownStep = Callable[[Any, Any], Any]  # values at a point, whether it intervened -> values at the next


class Arithmetic(NamedTuple):
    """How a rule chooses between values: for arrays, or for one number, which is many times as fast."""

    where: Callable[..., Any]
    minimum: Callable[..., Any]


ARRAYS = Arithmetic(np.where, np.minimum)
SCALARS = Arithmetic(lambda chosen, value, other: value if chosen else other, min)


def step_of(spec: LoopSpec, feature: Feature, arithmetic: Arithmetic) -> KnownStep | None:
    """Return how a known feature moves from one decision point to the next; None for one that does not move by itself.

    since_intervention: its lower bound after an intervention, else min(upper bound, v + step). recent_load:
    lo + decay (v - lo) + (1 - decay)(hi - lo) 1[intervened]. clock: the next category, in a circle; a number turns by
    (hi - lo) / decisions_per_day and begins again at its lower bound.
    """
    low, high = feature.range
    if feature.dynamics == "since_intervention":
        step = (high - low) / DEFAULT_STEPS if feature.step is None else feature.step
        return lambda v, intervened: arithmetic.where(intervened, low, arithmetic.minimum(high, v + step))
    if feature.dynamics == "recent_load":
        decay = DEFAULT_DECAY if feature.decay is None else feature.decay
        return lambda v, intervened: low + decay * (v - low) + (1 - decay) * (high - low) * intervened
    if feature.dynamics == "clock" and feature.is_category:
        return lambda v, intervened: (v + 1) % len(feature.categories)
    if feature.dynamics == "clock":
        return _turn(low, high, spec.decisions_per_day, arithmetic)
    return None


def _turn(low: float, high: float, per_day: int, arithmetic: Arithmetic) -> KnownStep:
    """A clock that is a number: its phase in [0, 1) turns; one that rounding left just short of 1 has come round."""

    def step(v: Any, intervened: Any) -> Any:
        phase = ((v - low) / (high - low) + 1 / per_day) % 1.0
        return low + (high - low) * arithmetic.where(phase > 1.0 - _ROUNDING, 0.0, phase)

    return step


def start_of(feature: Feature) -> float:
    """Return a feature's value at somebody's first decision point: nobody ever spoke to them; a clock is at its beginning."""
    low, high = feature.range
    if feature.is_category:
        return 0.0
    return high if feature.dynamics == "since_intervention" else low


def begins_daily(spec: LoopSpec, feature: Feature) -> bool:
    """Tell whether a feature begins again with each of the person's days: a clock whose period is a day."""
    if feature.dynamics != "clock":
        return False
    return not feature.is_category or len(feature.categories) == spec.decisions_per_day


def advance_known(spec: LoopSpec, states: Floats, intervened: Bools) -> Floats:
    """Return states (n, F) one decision point later as far as it is known; all other columns are left as they are."""
    out = states.copy()
    for i, feature in enumerate(spec.features):
        step = step_of(spec, feature, ARRAYS)
        if step is not None:
            out[:, i] = step(states[:, i], intervened)
    return out
