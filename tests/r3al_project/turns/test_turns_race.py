"""Turns begun and cancelled by real processes on a real PostgreSQL: one turn a loop, and a cancelled one is cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fresh_database import run_on


@pytest.fixture(scope="module")
def facts(fresh_postgresql: str) -> dict[str, Any]:
    """The facts of ``race_turns.py``, by scenario."""
    return run_on(fresh_postgresql, "tests.r3al_project.turns.race_turns")


def test_it_ran_on_postgresql(facts: dict[str, Any]) -> None:
    assert facts["vendor"] == "postgresql"


def test_of_eight_who_begin_at_once_one_does_and_nothing_is_left_of_the_others(facts: dict[str, Any]) -> None:
    found = facts["beginning_at_once"]
    assert found["outcomes"] == {"begun": 1, "refused": 7}
    assert (found["turns"], found["stages"], found["jobs"]) == (1, 1, 1)


def test_a_stage_that_begins_meanwhile_is_the_one_that_is_cancelled(facts: dict[str, Any]) -> None:
    found = facts["cancelled_while_its_stage_ends"]
    assert found["waited"] and found["stages"] == [["collect", "done"], ["release", "cancelled"]]
    assert found["outcome"] == "cancelled" and "Its stage release wrote nothing" in found["said"]


def test_a_turn_that_was_cancelled_never_goes_on(facts: dict[str, Any]) -> None:
    found = facts["ending_and_cancelling_at_once"]
    asked = found.get("cancelled", 0) + found.get("asked to end", 0)
    assert asked + found.get("was over", 0) == 10 and found["open jobs left"] == 0
    assert found.get("the turn is kept", 0) == found.get("was over", 0), found
