"""Compute known dynamics: features whose next value follows from public rules, so that learning them costs no privacy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from core.arrays import Bools, Floats
from loops.engine.spec import Feature, LoopSpec

DEFAULT_STEPS = 12  # decision points until since_intervention reaches its upper bound, where a loop declares no step
DEFAULT_DECAY = 0.8  # of recent_load, where a loop declares none
_ROUNDING = 1e-6  # of a cycle; the shortest step, of a clock with 1,440 points a day, is 7e-4
KnownStep = Callable[[Any, Any], Any]  # (values at a point, whether it intervened) -> values at the next point


class Arithmetic(NamedTuple):
    """Provide the operations of the rules, for arrays or for single numbers (which are many times as fast)."""

    where: Callable[..., Any]
    minimum: Callable[..., Any]


ARRAYS = Arithmetic(np.where, np.minimum)
SCALARS = Arithmetic(lambda chosen, value, other: value if chosen else other, min)


def step_of(spec: LoopSpec, feature: Feature, arithmetic: Arithmetic) -> KnownStep | None:
    """Return the update rule of a known feature from one decision point to the next, or None without such a rule.

    since_intervention: the lower bound after an intervention, else min(upper bound, v + step).
    recent_load: lo + decay (v - lo) + (1 - decay)(hi - lo) 1[intervened].
    clock: the next category, cyclically. A numeric clock advances by (hi - lo) / decisions_per_day and wraps to its lower bound.
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
        return _numeric_clock(low, high, spec.decisions_per_day, arithmetic)
    return None


def _numeric_clock(low: float, high: float, per_day: int, arithmetic: Arithmetic) -> KnownStep:
    """Return the update rule of a numeric clock. A phase that rounding left just below 1 counts as a complete cycle."""

    def step(v: Any, intervened: Any) -> Any:
        phase = ((v - low) / (high - low) + 1 / per_day) % 1.0
        return low + (high - low) * arithmetic.where(phase > 1.0 - _ROUNDING, 0.0, phase)

    return step


def start_of(feature: Feature) -> float:
    """Return a feature's value at a person's first decision point: no intervention so far, and a clock at its beginning."""
    low, high = feature.range
    if feature.is_category:
        return 0.0
    return high if feature.dynamics == "since_intervention" else low


def begins_daily(spec: LoopSpec, feature: Feature) -> bool:
    """Return whether a feature restarts with each of the person's days: a clock with a period of one day."""
    if feature.dynamics != "clock":
        return False
    return not feature.is_category or len(feature.categories) == spec.decisions_per_day


def advance_known(spec: LoopSpec, states: Floats, intervened: Bools) -> Floats:
    """Advance the known features by one decision point. All other columns are unchanged.

    Args: states: (n, F). intervened: (n,).
    Returns: (n, F).
    """
    out = states.copy()
    for i, feature in enumerate(spec.features):
        step = step_of(spec, feature, ARRAYS)
        if step is not None:
            out[:, i] = step(states[:, i], intervened)
    return out
