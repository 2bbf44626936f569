"""Whether a person may be spoken to at all, decided before anything is drawn: the loop's rules over the person's moment.

An unavailable moment was not randomised: it carries no propensity and teaches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta

import numpy as np
import numpy.typing as npt

from loops.engine.spec import LoopSpec

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moment:
    """When it is for the person (``local``, with its offset), and what was done to them before (the same clock)."""

    local: datetime
    interventions_today: int
    last_intervention_at: datetime | None


def unavailable(spec: LoopSpec, moment: Moment, state: Floats) -> str | None:
    """The first reason that applies, else None: quiet_hours, cooldown, daily_cap, distress, no_data (a NaN in ``state`` (F,))."""
    rules = spec.availability
    if rules.quiet_hours is not None and _inside(moment.local.time(), *map(time.fromisoformat, rules.quiet_hours)):
        return "quiet_hours"
    last = moment.last_intervention_at
    if last is not None and moment.local - last < timedelta(seconds=rules.cooldown_seconds):
        return "cooldown"
    if rules.daily_cap is not None and moment.interventions_today >= rules.daily_cap:
        return "daily_cap"
    if in_distress(spec, state):
        return "distress"
    return "no_data" if np.isnan(state).any() else None


def in_distress(spec: LoopSpec, state: Floats) -> bool:
    """Whether a known value lies at or beyond an end that the loop declares. What is unknown says nothing."""
    names = spec.feature_names
    for name, (low, high) in spec.availability.distress.items():
        value = state[names.index(name)]
        if value <= low or value >= high:
            return True
    return False


def _inside(now: time, begin: time, end: time) -> bool:
    """Whether ``now`` lies in [begin, end), which may go over midnight."""
    if begin <= end:
        return begin <= now < end
    return now >= begin or now < end
