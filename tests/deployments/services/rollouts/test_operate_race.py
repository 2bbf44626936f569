"""Operators who steer one rollout at once, by real processes on a real PostgreSQL: exactly one wins, the others are refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fresh_database import run_on


@pytest.fixture(scope="module")
def facts(fresh_postgresql: str) -> dict[str, Any]:
    """The facts of ``race_operators.py``, by scenario."""
    return run_on(fresh_postgresql, "tests.deployments.services.rollouts.race_operators")


def test_it_ran_on_postgresql(facts: dict[str, Any]) -> None:
    assert facts["vendor"] == "postgresql"


def test_a_rollout_is_paused_and_resumed_once(facts: dict[str, Any]) -> None:
    paused, resumed = (facts["paused_at_once"][act] for act in ("paused", "resumed"))
    assert paused["outcomes"] == {"paused": 1, "refused": 7} and paused["acts"] == {"pause": 1}
    assert (paused["state"], paused["weight"]) == ("paused", 0)
    assert resumed["outcomes"] == {"resumed": 1, "refused": 7} and resumed["acts"] == {"pause": 1, "resume": 1}
    assert (resumed["state"], resumed["weight"]) == ("in_progress", 2_000)


def test_a_stage_is_approved_once(facts: dict[str, Any]) -> None:
    found = facts["approved_at_once"]
    assert found["outcomes"] == {"approved": 1, "refused": 7} and found["acts"] == {"ask": 1, "advance": 1}
    assert (found["stage"], found["weight"]) == (1, 5_000)


def test_a_rollout_is_aborted_once_and_retried_once(facts: dict[str, Any]) -> None:
    found = facts["aborted_and_retried_at_once"]
    assert found["aborted"] == {"aborted": 1, "refused": 7} and found["retried"] == {"retried": 1, "refused": 7}
    assert found["active"] == 1


def test_of_promotion_and_abort_one_wins(facts: dict[str, Any]) -> None:
    found = facts["promoted_while_others_abort"]
    outcomes = found["outcomes"]
    assert outcomes["refused"] == 7 and sum(outcomes.values()) == 8, outcomes
    assert found["serves"] == ("promoted" in outcomes) and found["candidate"] is None
    assert found["state"] == ("succeeded" if "promoted" in outcomes else "aborted")
