"""A clock that declares when its categories begin is read off the person's own time of day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, time, timedelta

from loops.engine.spec import Feature

Reader = Callable[[time], float]


def clock_reader(feature: Feature) -> Reader | None:
    """From a local time to the category (its index) that began last; None for a feature that declares no ``starts``.

    Before the day's first start it is still what began last the day before.
    """
    if not feature.starts:
        return None
    starts = [time.fromisoformat(text) for text in feature.starts]
    order = sorted(range(len(starts)), key=starts.__getitem__)

    def read(now: time) -> float:
        return float(next((i for i in reversed(order) if starts[i] <= now), order[-1]))

    return read


def plausible_day(reported: date, ours: date, last: date | None) -> date:
    """The person's calendar day by their own clock, as far as it can be true: within a day of ours (UTC), whatever the zone, and
    not before their last one. A wrong or moved clock gives nobody a day's interventions again and again.
    """
    day = min(max(reported, ours - timedelta(days=1)), ours + timedelta(days=1))
    return day if last is None or last > ours + timedelta(days=1) else max(day, last)
