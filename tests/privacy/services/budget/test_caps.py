"""Caps are changed with a reason, never below what was spent, and the vault knows."""

from __future__ import annotations

from datetime import date
from typing import cast

import pytest
from django.test import override_settings

from core.errors import InputError, NotFound
from privacy.engine.dp.accounting import NANO
from privacy.models import PrivacyBudget, VaultEvent
from privacy.selectors.budgets import budget_summary
from privacy.selectors.default_caps import default_caps
from privacy.services.budget.caps import CapReason, cap_change
from privacy.services.people.identity import people_get_or_create
from tests.factories.loops import loop_version
from tests.factories.people import UNIT, add_people

pytestmark = pytest.mark.django_db
WHY = "request"


@pytest.fixture
def person() -> int:
    return add_people(loop_version(), 1, spent_week=UNIT, rho_spent=UNIT // 2)[0]


def change(person: int, window: str, cap: float, reason: str = WHY) -> PrivacyBudget:
    return cap_change(person_id=person, window=window, cap=cap, reason=cast(CapReason, reason), actor="test")


def test_a_cap_moves_and_the_vault_says_why(person: int) -> None:
    assert change(person, "week", 1.5).cap_week == 3 * UNIT // 2 == PrivacyBudget.objects.get().cap_week
    event = VaultEvent.objects.get(kind="budget")
    assert event.body["reason"] == WHY and event.body["from_nano"] == 2 * UNIT and event.subject


@pytest.mark.parametrize(
    ("window", "cap", "reason", "said"),
    [
        ("week", 0.999, WHY, "below"),
        ("year", 1.0, WHY, "no cap"),
        ("week", float("nan"), WHY, "between 0"),
        ("week", -1.0, WHY, "between 0"),
        ("week", 1e300, WHY, "between 0"),
        ("week", 3.0, "because", "no reason 'because'"),
        ("rho", 1.1, WHY, "only be lowered"),
        ("rho", 0.4, WHY, "below"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_moves(
    person: int, window: str, cap: float, reason: str, said: str
) -> None:
    before = PrivacyBudget.objects.values().get()
    with pytest.raises(InputError, match=said):
        change(person, window, cap, reason)
    assert PrivacyBudget.objects.values().get() == before and not VaultEvent.objects.exists()


def test_what_was_spent_in_a_window_that_is_over_does_not_count(person: int) -> None:
    old = date(2020, 1, 6)
    PrivacyBudget.objects.update(spent_day=UNIT, day=old, spent_week=UNIT, week=old)
    assert change(person, "day", 0.0).cap_day == 0
    after = PrivacyBudget.objects.get()
    assert (after.spent_day, after.spent_week) == (0, UNIT) and after.day > old == after.week


def test_the_promised_rho_can_be_lowered(person: int) -> None:
    assert change(person, "rho", 0.6).rho_cap == 600_000_000


def test_nobody_has_no_caps() -> None:
    with pytest.raises(NotFound):
        change(4_711, "week", 1.0)


@pytest.mark.parametrize(
    ("period", "units"), [("daily", (1, 24, 24, 24)), ("weekly", (1, 2, 24, 24)), ("monthly", (1, 2, 4, 24))]
)
def test_the_period_is_the_longest_window_that_renews(period: str, units: tuple[int, ...]) -> None:
    with override_settings(PRIVACY_BUDGET_PERIOD=period):
        assert tuple(cap // NANO for cap in default_caps().values()) == units
        (pk,) = people_get_or_create(population="app", identifiers=["ann"]).values()
    assert budget_summary(PrivacyBudget.objects.get(pk=pk))["period"] == period, (
        "as the caps say, whatever is set today"
    )
