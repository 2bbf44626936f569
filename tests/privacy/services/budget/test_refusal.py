"""Why nobody was charged: whose cap has no room, in which window, and when the first budget renews."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from core.errors import BudgetExceeded
from privacy.engine.budget_windows import next_days
from privacy.models import PrivacyBudget
from tests.factories.loops import loop_version
from tests.factories.people import UNIT, add_people, caps, windows
from tests.factories.releases import charge, new_release

pytestmark = pytest.mark.django_db
TUESDAY = datetime(2025, 3, 4, 15, tzinfo=UTC)


def refusal(**budget: Any) -> str:
    """What is said on a Tuesday where all three people have such a budget."""
    version = loop_version()
    add_people(version, 3, **{**windows(TUESDAY.date()), **budget})
    with pytest.raises(BudgetExceeded) as error:
        charge(new_release(version, at=TUESDAY))
    return str(error.value)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"spent_day": UNIT}, "cap for the day has no room; the first budget renews on 2025-03-05 at 00:00 UTC"),
        ({"spent_week": 2 * UNIT}, "cap for the week has no room; the first budget renews on 2025-03-10 at 00:00 UTC"),
        (
            {"spent_month": 4 * UNIT},
            "cap for the month has no room; the first budget renews on 2025-04-01 at 00:00 UTC",
        ),
        ({"spent_lifetime": 24 * UNIT}, "own cap for the lifetime has no room, which waiting does not change"),
        ({"rho_spent": UNIT}, "own formal cap for the lifetime (rho) has no room, which waiting does not change"),
        (caps(0.5, 2, 4, 24), "some cap of each person has no room for it at any time, which waiting does not change"),
    ],
)
def test_it_names_the_cap_the_window_and_its_end(budget: dict[str, Any], said: str) -> None:
    assert said in refusal(**budget)


def test_the_first_person_who_can_pay_again_decides_the_day() -> None:
    version = loop_version()
    ids = add_people(version, 3, **windows(TUESDAY.date()), spent_week=2 * UNIT)
    PrivacyBudget.objects.filter(pk=ids[1]).update(spent_week=0, spent_day=UNIT)
    with pytest.raises(BudgetExceeded, match="cap for the day has no room; the first budget renews on 2025-03-05"):
        charge(new_release(version, at=TUESDAY))


def test_the_next_windows_begin_tomorrow_on_monday_and_on_the_first() -> None:
    assert next_days(date(2025, 12, 28)) == {
        "day": date(2025, 12, 29), "week": date(2025, 12, 29), "month": date(2026, 1, 1),
    }  # fmt: skip
