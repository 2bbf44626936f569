"""2,000 reservations of 50 people each (100,000 attempts to charge a person) by real processes that are killed, on a real
PostgreSQL and on SQLite.
"""

from __future__ import annotations

import pytest

from tests.fresh_database import run_on

pytestmark = pytest.mark.embedded  # it has databases of its own


def test_no_cap_is_passed_and_no_charge_is_without_its_release_nor_a_release_without_its_charge(
    fresh_database: str,
) -> None:
    found = run_on(fresh_database, "tests.privacy.services.budget.race_cohorts", seconds=600, MAX_PRIVACY_EPSILON="1")
    assert found["deaths"] >= 5, found
    assert found["reservations"] >= 2_000 and found["attempts"] >= 100_000
    assert found["over_a_cap"] == 0
    assert found["releases_without_a_charge"] == found["charges_without_a_release"] == 0
    assert found["unequal_people"] == 0
    assert (found["entries"]["cost"], found["entries"]["rho"]) == (found["spent"]["lifetime"], found["spent"]["rho"])
    assert found["releases"] > 100 and found["full"] > 300, "the caps were reached, so they were tried"
