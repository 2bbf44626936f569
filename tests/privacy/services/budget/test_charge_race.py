"""Charging by eight real processes on a real PostgreSQL, some of them killed. SQLite would hide all these bugs."""

from __future__ import annotations

import re
from typing import Any

import pytest

from privacy.engine.dp.accounting import calibrate
from tests.fresh_database import run_on

THREE_CHARGES = 3 * 300_000_000


@pytest.fixture(scope="module")
def facts(fresh_postgresql: str) -> dict[str, Any]:
    """The facts of ``race_ledger.py``, by scenario."""
    return run_on(fresh_postgresql, "tests.privacy.services.budget.race_charge", MAX_PRIVACY_EPSILON="1")


def test_it_ran_on_postgresql(facts: dict[str, Any]) -> None:
    assert facts["vendor"] == "postgresql"


def test_a_charge_is_one_statement_that_locks_in_person_order(facts: dict[str, Any]) -> None:
    (charge,) = facts["statements"]
    assert charge.startswith('WITH charged AS (UPDATE "privacy_budget"') and "INSERT INTO ledger_entries" in charge
    assert re.search(r'SELECT W0."person_id".*ORDER BY 1 ASC FOR UPDATE\)', charge)


def test_overlapping_charges_never_overdraw_and_lose_nothing(facts: dict[str, Any]) -> None:
    """The cap allows three charges of .3 a day; there are many more attempts on everybody, so all pay exactly three."""
    race = facts["overlapping_cohorts"]
    assert set(race["outcomes"]) == {"charged", "refused"}, race["outcomes"]
    assert sum(race["outcomes"].values()) == 96
    assert race["charges_a_person"] == [3]
    assert race["spent"]["day"] == race["entries"]["cost"] == 60 * THREE_CHARGES
    rho = calibrate(epsilon=0.3, delta=1e-5, maximum=1.0).rho_nano
    assert race["spent"]["rho"] == race["entries"]["rho"] == 60 * 3 * rho
    assert race["unequal_people"] == 0


def test_one_key_reserved_by_all_at_once_is_one_release_charged_once(facts: dict[str, Any]) -> None:
    race = facts["one_key"]
    assert race["releases"] == 1
    assert race["spent"]["day"] == race["entries"]["cost"] == 60 * 300_000_000


def test_a_charge_killed_halfway_leaves_nothing(facts: dict[str, Any]) -> None:
    race = facts["killed_between_charge_and_commit"]
    assert race["reached"] and race["releases"] == 0
    assert race["spent"]["lifetime"] == race["entries"]["cost"] == 0


def test_charges_killed_anywhere_leave_balanced_books(facts: dict[str, Any]) -> None:
    race = facts["killed_anywhere"]
    assert race["releases"] > 0 and race["without_entries"] == 0
    assert race["spent"]["lifetime"] == race["entries"]["cost"] == race["releases"] * 60 * 10_000_000
    assert race["unequal_people"] == 0


def test_consent_withdrawn_and_budget_spent_while_a_charge_waits_are_seen(facts: dict[str, Any]) -> None:
    race = facts["consent_while_waiting"]
    assert race["waited"], "the charge never had to wait, so this run shows nothing"
    assert race["charged"] == [2]
