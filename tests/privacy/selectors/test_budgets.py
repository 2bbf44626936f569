"""A person's budget in words that an app can compute with: what is left, which window limits it, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from privacy.engine.budget_windows import first_day
from privacy.engine.dp.accounting import NANO
from privacy.models import PrivacyBudget
from privacy.selectors.budgets import budget_summary
from privacy.services.people.identity import people_get_or_create

pytestmark = pytest.mark.django_db


def budget(**columns: object) -> PrivacyBudget:
    (pk,) = people_get_or_create(population="app", identifiers=["ann"]).values()
    PrivacyBudget.objects.filter(pk=pk).update(**columns)
    return PrivacyBudget.objects.get(pk=pk)


def test_each_window_says_when_the_next_begins() -> None:
    today = datetime.now(UTC).date()
    told = budget_summary(budget())
    ends = {window: told["policy_units"][window]["ends"] for window in ("day", "week", "month", "lifetime")}
    assert ends["day"] == datetime(today.year, today.month, today.day, tzinfo=UTC) + timedelta(days=1)
    assert ends["week"].weekday() == 0 and timedelta() < ends["week"] - datetime.now(UTC) <= timedelta(days=7)
    assert ends["month"].day == 1 and ends["month"].month == today.month % 12 + 1
    assert ends["lifetime"] is None
    assert told["period_ends"] == ends[{"daily": "day", "weekly": "week", "monthly": "month"}[told["period"]]]


def test_what_is_left_is_what_the_tightest_window_allows() -> None:
    today = datetime.now(UTC).date()
    caps = {"cap_day": 2 * NANO, "cap_week": 3 * NANO, "cap_month": 9 * NANO, "cap_lifetime": 20 * NANO}
    windows = {window: first_day(window, today) for window in ("day", "week", "month")}
    spent = {"spent_day": NANO // 2, "spent_week": 2 * NANO + NANO // 2, "spent_month": 3 * NANO}
    told = budget_summary(budget(**caps, **windows, **spent))
    assert (told["remaining"], told["limited_by"]) == (0.5, "week")
