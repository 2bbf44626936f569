"""Real worker processes at once, and killed anywhere: each notice arrives, once without a death, and always under one id."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories.receivers import LOOPBACK
from tests.fresh_database import run_on


@pytest.fixture(scope="module")
def facts(fresh_database: str) -> dict[str, Any]:
    """The facts of ``race_deliveries.py``, by scenario, on PostgreSQL and on SQLite."""
    return run_on(fresh_database, "tests.notices.services.race_deliveries", R3AL_WEBHOOK_NETWORKS=LOOPBACK)


def test_eight_workers_deliver_each_notice_once(facts: dict[str, Any]) -> None:
    found = facts["several_workers"]
    assert found["heard"] == found["notices"] == 30 and found["most"] == 1, found
    assert found["states"] == {"delivered": 30} and not [name for name in found["counts"] if name.startswith("Error")]


def test_a_sender_that_is_killed_before_it_hears_the_answer_is_followed_by_another(facts: dict[str, Any]) -> None:
    found = facts["killed_between_sending_and_marking"]
    assert found["before"] == "pending" and found["states"] == {"delivered": 1}
    assert (found["heard"], found["most"], found["attempts"]) == (1, 2, 2), "twice, under one id"


def test_death_at_any_moment_loses_nothing(facts: dict[str, Any]) -> None:
    found = facts["killed_anywhere"]
    assert found["heard"] == found["notices"] == 120 and found["states"] == {"delivered": 120}, found


def test_what_several_tell_is_told_once_and_what_is_rolled_back_is_not(facts: dict[str, Any]) -> None:
    found = facts["recorded_by_all_and_rolled_back_by_some"]
    assert found["counts"] == {"done": 8} and found["stored"] == found["heard"] == 10 and found["most"] == 1, found
