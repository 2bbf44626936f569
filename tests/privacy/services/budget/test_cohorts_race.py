"""Reservations of 50 people each by real processes that are killed, on a real PostgreSQL and on SQLite.

The long run has 2,000: 100,000 attempts to charge a person.
"""

from __future__ import annotations

import pytest

from tests.fresh_database import run_on

pytestmark = pytest.mark.embedded  # it has databases of its own


@pytest.mark.parametrize("reservations", [400, pytest.param(2_000, marks=pytest.mark.slow)])
def test_no_cap_is_passed_and_no_charge_is_without_its_release_nor_a_release_without_its_charge(
    fresh_database: str, reservations: int
) -> None:
    script = "tests.privacy.services.budget.race_cohorts"
    found = run_on(fresh_database, script, reservations, seconds=600, MAX_PRIVACY_EPSILON="1")
    assert found["deaths"] >= 5, found
    assert found["reservations"] >= reservations and found["attempts"] >= 50 * reservations
    assert found["over_a_cap"] == 0
    assert found["releases_without_a_charge"] == found["charges_without_a_release"] == 0
    assert found["unequal_people"] == 0
    assert (found["entries"]["cost"], found["entries"]["rho"]) == (found["spent"]["lifetime"], found["spent"]["rho"])
    assert found["releases"] > reservations / 20 and found["full"] > 300, "the caps were reached, so they were tried"
