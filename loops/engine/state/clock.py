"""Read clock features from the person's local time, and check the plausibility of the person's calendar day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, time, timedelta

from loops.engine.spec import Feature

Reader = Callable[[time], float]


def clock_reader(feature: Feature) -> Reader | None:
    """Build the function from a local time to the index of the category that began last.

    Before the day's first start this is the last category of the previous day.
    Returns: None for a feature that declares no ``starts``.
    """
    if not feature.starts:
        return None
    starts = [time.fromisoformat(text) for text in feature.starts]
    order = sorted(range(len(starts)), key=starts.__getitem__)

    def read(now: time) -> float:
        return float(next((i for i in reversed(order) if starts[i] <= now), order[-1]))

    return read


def plausible_day(reported: date, server: date, last: date | None) -> date:
    """Clamp the person's reported calendar day to a plausible one.

    Every time zone is within one day of the server's day (UTC), and days never go backwards. A wrong or changed clock can
    therefore not use up a day's cap of interventions more than once.
    Args: reported: the day by the person's clock. server: the server's day (UTC). last: the person's last day, if any.
    """
    day = min(max(reported, server - timedelta(days=1)), server + timedelta(days=1))
    return day if last is None or last > server + timedelta(days=1) else max(day, last)
