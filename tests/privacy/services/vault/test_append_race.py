"""The vault's promises under eight real processes on a real PostgreSQL, some of them killed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fresh_database import run_on

PROCESSES, ACTS, DECISIONS = 8, 25, 1_500


@pytest.fixture(scope="module")
def facts(fresh_postgresql: str) -> dict[str, Any]:
    """The facts of ``race_vault.py``, by scenario."""
    return run_on(fresh_postgresql, "tests.privacy.services.vault.race_append", MAX_PRIVACY_EPSILON="1")


def test_it_ran_on_postgresql(facts: dict[str, Any]) -> None:
    assert facts["vendor"] == "postgresql"


def test_the_first_events_of_all_are_one_chain(facts: dict[str, Any]) -> None:
    race = facts["first_events_at_once"]
    assert race["outcomes"] == {"appended": PROCESSES}
    assert (race["broken"], race["events"], race["rows"]) == ("", PROCESSES, PROCESSES)


def test_acts_of_every_kind_never_wait_for_each_other_crosswise(facts: dict[str, Any]) -> None:
    """A deadlock would be counted among the outcomes as an error: the database ends one of the two transactions."""
    race = facts["acts_of_every_kind"]
    assert set(race["outcomes"]) == {"consent", "charge", "seal"}, race["outcomes"]
    assert sum(race["outcomes"].values()) == PROCESSES * ACTS
    assert (
        race["broken"] == "" and race["events"] == race["rows"] > PROCESSES * ACTS / 2
    )  # some acts find nothing to change


def test_sealed_by_all_at_once_every_decision_is_in_one_batch(facts: dict[str, Any]) -> None:
    race = facts["sealed_by_all_at_once"]
    assert set(race["outcomes"]) <= {"batches", "nothing free"}, race["outcomes"]
    assert race["sealed"] == {"times": [1], "decisions": DECISIONS, "waiting": 0}
    assert race["broken"] == ""


def test_sealed_by_processes_that_are_killed_every_decision_is_in_one_batch(facts: dict[str, Any]) -> None:
    race = facts["sealers_killed_anywhere"]
    assert race["killed_before_the_end"] > 0, "all was sealed before the last was killed, so this run shows less"
    assert race["events"] > 8
    assert race["sealed"] == {"times": [1], "decisions": DECISIONS, "waiting": 0}
    assert race["broken"] == ""
