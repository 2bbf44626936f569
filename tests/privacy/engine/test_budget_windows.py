"""The windows of policy units: the day, the week from Monday and the month, in UTC."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from privacy.engine.budget_windows import first_day, first_days, next_days

FRIDAY = date(2024, 2, 16)


def test_the_windows_that_contain_a_day() -> None:
    assert first_days(FRIDAY) == {"day": FRIDAY, "week": date(2024, 2, 12), "month": date(2024, 2, 1)}
    assert first_day("loop", FRIDAY) == FRIDAY


@pytest.mark.parametrize(
    ("today", "week", "month"),
    [
        (FRIDAY, date(2024, 2, 19), date(2024, 3, 1)),
        (date(2024, 1, 1), date(2024, 1, 8), date(2024, 2, 1)),
        (date(2024, 12, 31), date(2025, 1, 6), date(2025, 1, 1)),
        (date(2023, 1, 31), date(2023, 2, 6), date(2023, 2, 1)),
    ],
)
def test_the_windows_that_come_next(today: date, week: date, month: date) -> None:
    assert next_days(today) == {"day": today + timedelta(days=1), "week": week, "month": month}
