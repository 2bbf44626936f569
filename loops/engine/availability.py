"""Whether a person may be spoken to at all, decided before anything is drawn: the loop's rules over the person's moment.

An unavailable moment was not randomised: it carries no propensity and teaches nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from math import isnan
from typing import NamedTuple

from loops.engine.spec import LoopSpec


class Moment(NamedTuple):
    """When it is on the person's own clock, and what was done to them before: today by that clock, and how long ago by ours."""

    local: datetime
    interventions_today: int
    since_intervention: timedelta | None


def unavailable(spec: LoopSpec, moment: Moment, state: Sequence[float]) -> str | None:
    """The first reason that applies, else None: quiet_hours, cooldown, daily_cap, distress, no_data (a NaN in ``state``)."""
    rules = spec.availability
    if rules.quiet_hours is not None and _inside(moment.local.time(), *map(time.fromisoformat, rules.quiet_hours)):
        return "quiet_hours"
    since = moment.since_intervention
    if since is not None and since < timedelta(seconds=rules.cooldown_seconds):
        return "cooldown"
    if rules.daily_cap is not None and moment.interventions_today >= rules.daily_cap:
        return "daily_cap"
    if in_distress(spec, state):
        return "distress"
    return "no_data" if any(map(isnan, state)) else None


def in_distress(spec: LoopSpec, state: Sequence[float]) -> bool:
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
