"""The calendar windows (UTC) in which policy units are counted."""

from __future__ import annotations

from datetime import date, timedelta

ROLLING = ("day", "week", "month")


def first_day(window: str, today: date) -> date:
    """Return the first day of the window that contains ``today``: the day itself, its Monday, or the first of its month."""
    if window == "week":
        return today - timedelta(days=today.weekday())
    return today.replace(day=1) if window == "month" else today


def first_days(today: date) -> dict[str, date]:
    """Return the first day of each rolling window that contains ``today``."""
    return {window: first_day(window, today) for window in ROLLING}
