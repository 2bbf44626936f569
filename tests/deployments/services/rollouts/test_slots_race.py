"""Deploying and taking back by eight real processes on a real PostgreSQL, some of them killed: one wins, never nothing serves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fresh_database import run_on

SAME = ("changes", "deployments", "in_the_vault")


@pytest.fixture(scope="module")
def facts(fresh_postgresql: str) -> dict[str, Any]:
    """The facts of ``race_slots.py``, by scenario."""
    return run_on(fresh_postgresql, "tests.deployments.services.rollouts.race_slots")


def consistent(books: dict[str, Any]) -> bool:
    """The slot's generation, the history and the vault count the same; what serves is what was deployed last, and only that."""
    counts = {books[name] for name in SAME}
    return len(counts) == 1 and books["serves_the_last"] and not books["deployed"]


def test_it_ran_on_postgresql(facts: dict[str, Any]) -> None:
    assert facts["vendor"] == "postgresql"


def test_of_eight_who_saw_the_same_slot_one_wins(facts: dict[str, Any]) -> None:
    found = facts["one_slot_as_all_saw_it"]
    assert found["outcomes"] == {"won": 1, "lost": 7} and consistent(found)


def test_deploying_and_taking_back_at_once_leaves_one_history(facts: dict[str, Any]) -> None:
    found = facts["deploying_and_taking_back"]
    assert set(found["outcomes"]) <= {"won", "lost", "taken back", "not taken back"}, found
    assert found["outcomes"]["won"] and found["outcomes"]["taken back"] == found["incidents"] == found["taken_back"]
    assert consistent(found) and not found["gone_back_to_harm"]


def test_no_reader_ever_sees_none_or_two(facts: dict[str, Any]) -> None:
    found = facts["readers_meanwhile"]
    assert {name for name in found if name.startswith("saw")} == {"saw 1"} and found["saw 1"] == 600, found
    assert not [name for name in found if name.startswith("Error")]


def test_death_at_any_moment_leaves_no_half_change(facts: dict[str, Any]) -> None:
    found = facts["killed_anywhere"]
    assert consistent(found) and found["taken_back"] == found["incidents"]
