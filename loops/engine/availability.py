"""Apply a loop's availability rules, which decide before any randomisation whether a person may receive an intervention.

An unavailable decision point is not randomised. It has no propensity and is not used for training.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from math import isnan
from typing import NamedTuple

from core.durations import CLOCK_TOLERANCE
from loops.engine.spec import LoopSpec


class Moment(NamedTuple):
    """Describe a decision point: the person's local time, their interventions on that local day, and the time since the last.

    ``since_intervention`` is measured by the server's clock, and is None without an earlier intervention.
    """

    local: datetime
    interventions_today: int
    since_intervention: timedelta | None

    @classmethod
    def of(cls, local: datetime, interventions_today: int, last: datetime | None, now: datetime) -> Moment:
        """Return a decision point after the ``last`` intervention.

        It counts as just now where it lies a little after ``now``, as another machine's clock says. Further ahead it was stored
        before this clock was set back. It counts as none, because the cooldown would last until that time has come.
        """
        known = last is not None and last <= now + CLOCK_TOLERANCE
        return cls(local, interventions_today, max(now - last, timedelta()) if known and last is not None else None)


def unavailable(spec: LoopSpec, moment: Moment, state: Sequence[float]) -> str | None:
    """Return the first reason for unavailability that applies, or None.

    The reasons, in order: quiet_hours, cooldown, daily_cap, distress, no_data (a NaN in ``state``).
    Args: state: (F,) feature values.
    """
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
    """Return whether a known value reaches a distress limit of the loop. Unknown values (NaN) never do.

    Args: state: (F,) feature values.
    """
    names = spec.feature_names
    for name, (low, high) in spec.availability.distress.items():
        value = state[names.index(name)]
        if value <= low or value >= high:
            return True
    return False


def _inside(now: time, begin: time, end: time) -> bool:
    """Return whether ``now`` lies in [begin, end), an interval that may span midnight."""
    if begin <= end:
        return begin <= now < end
    return now >= begin or now < end
