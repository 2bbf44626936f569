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


def next_days(today: date) -> dict[str, date]:
    """Return the first day of the next window of each kind: tomorrow, next Monday and the first of next month."""
    return {
        "day": today + timedelta(days=1),
        "week": first_day("week", today) + timedelta(days=7),
        "month": first_day("month", first_day("month", today) + timedelta(days=31)),
    }
