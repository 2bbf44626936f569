"""Rollouts in stages by real processes on a real PostgreSQL: a verdict acts once, and all books agree."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fresh_database import run_on

BOOKS = ("one_rollout", "share_fits", "one_serves", "vault_agrees", "incidents")


@pytest.fixture(scope="module")
def facts(fresh_postgresql: str) -> dict[str, Any]:
    """The facts of ``race_rollouts.py``, by scenario."""
    return run_on(fresh_postgresql, "tests.deployments.services.ticks.race_rollouts")


def test_it_ran_on_postgresql(facts: dict[str, Any]) -> None:
    assert facts["vendor"] == "postgresql"


def test_of_eight_ticks_at_once_one_acts(facts: dict[str, Any]) -> None:
    found = facts["one_verdict_by_many_ticks"]
    assert (found["stage"], found["checks"]) == (1, 1), found
    assert set(found["outcomes"]) <= {"done", "refused"}, found


@pytest.mark.parametrize("scenario", ["one_verdict_by_many_ticks", "everybody_at_once", "killed_anywhere"])
def test_the_books_agree(facts: dict[str, Any], scenario: str) -> None:
    found = facts[scenario]
    assert all(found[book] for book in BOOKS), found
    assert not [name for name in found.get("outcomes", ()) if name not in ("done", "refused", "nothing to do")], found
