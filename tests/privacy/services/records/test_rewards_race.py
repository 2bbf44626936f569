"""Words that come at the deadline, and closing by several processes, some of them killed: on a real PostgreSQL and on SQLite."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fresh_database import run_on

RACED, KILLED = 40, 400


@pytest.fixture(scope="module")
def facts(fresh_database: str) -> dict[str, Any]:
    """The facts of ``race_outcomes.py``, by scenario."""
    return run_on(fresh_database, "tests.privacy.services.records.race_rewards")


def test_every_decision_is_closed_by_exactly_one_of_the_closers(facts: dict[str, Any]) -> None:
    race = facts["words_at_the_deadline"]
    assert set(race["outcomes"]) <= {"closed", "late", "in time"}, race["outcomes"]
    assert race["outcomes"]["closed"] == race["decisions"] == race["closed"] == race["outcomes_kept"] == RACED


def test_a_word_at_the_deadline_is_learned_or_late_and_never_both_or_lost(facts: dict[str, Any]) -> None:
    race = facts["words_at_the_deadline"]
    told = race["outcomes"]
    assert told.get("in time", 0) > 0, "all came late, so this run shows less"
    assert race["in_time"] + race["late"] == 3 * RACED, "one before, one at the deadline, one after"
    assert race["in_time"] == RACED + told.get("in time", 0) == race["learned"], "as each sender was told"
    assert race["late"] == RACED + told.get("late", 0) and race["after_are_late"]


def test_closers_that_are_killed_leave_nothing_half_closed(facts: dict[str, Any]) -> None:
    race = facts["closers_killed_anywhere"]
    assert race["waiting_after_the_kills"] > 0, "all was closed before the last was killed, so this run shows less"
    assert race["waiting_after_the_kills"] == race["closed_then"]
    assert race["half_closed"] == 0


def test_and_every_decision_is_closed_once_with_its_word(facts: dict[str, Any]) -> None:
    race = facts["closers_killed_anywhere"]
    assert race["decisions"] == race["closed"] == race["outcomes_kept"] == race["in_time"] == race["learned"] == KILLED
