"""The same rows read by three processes at once, on a real PostgreSQL and on SQLite."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fresh_database import run_on

PEOPLE, ROWS = 4, 4 * 250


@pytest.fixture(scope="module")
def facts(fresh_database: str) -> dict[str, Any]:
    """The facts of ``race_collect.py``, by scenario."""
    return run_on(fresh_database, "tests.privacy.services.records.race_import")


def test_every_row_is_there_once(facts: dict[str, Any]) -> None:
    assert facts["counts"]["Decision"] == facts["counts"]["RewardSignal"] == ROWS
    assert facts["counts"]["Person"] == facts["counts"]["PrivacyBudget"] == PEOPLE
    assert facts["counts"]["Choice"] > ROWS


def test_every_consent_is_an_act_once(facts: dict[str, Any]) -> None:
    assert facts["counts"]["Consent"] == PEOPLE


def test_what_each_process_says_it_added_is_true(facts: dict[str, Any]) -> None:
    reports = facts["reports"]
    assert all(isinstance(r, dict) for r in reports), reports
    assert sum(r["added"] for r in reports) == ROWS
    assert sum(r["unchanged"] for r in reports) == 2 * ROWS
    assert sum(r["rejected"] for r in reports) == 0
    assert sum(r["consents_granted"] for r in reports) == PEOPLE
