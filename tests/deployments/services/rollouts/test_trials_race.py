"""Trials begun, promoted and stopped by real processes on a real PostgreSQL: one wins, and all books agree."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fresh_database import run_on


@pytest.fixture(scope="module")
def facts(fresh_postgresql: str) -> dict[str, Any]:
    """The facts of ``race_trials.py``, by scenario."""
    return run_on(fresh_postgresql, "tests.deployments.services.rollouts.race_trials")


def consistent(books: dict[str, Any]) -> bool:
    """The slot and the vault count the same changes; at most one trial, of the slot's candidate; only what serves is deployed."""
    incidents, rollbacks = books["incidents_and_rollbacks"]
    counts_agree = books["changes"] == books["in_the_vault"] and incidents == rollbacks
    return counts_agree and books["on_trial_once"] and not books["deployed"]


def test_it_ran_on_postgresql(facts: dict[str, Any]) -> None:
    assert facts["vendor"] == "postgresql"


def test_of_eight_trials_begun_at_once_one_begins(facts: dict[str, Any]) -> None:
    found = facts["begun_at_once"]
    assert found["outcomes"] == {"begun": 1, "refused": 7} and consistent(found), found


def test_a_version_whose_trial_was_stopped_meanwhile_is_not_tried_again(facts: dict[str, Any]) -> None:
    found = facts["one_version_begun_at_once"]
    assert found["outcomes"]["begun"] == found["trials"] == 1 and consistent(found), found
    assert not [name for name in found["outcomes"] if name.startswith("Error")], found


def test_trials_beside_deployments_and_rollbacks_leave_one_history(facts: dict[str, Any]) -> None:
    found = facts["begun_while_others_deploy_and_take_back"]
    known = {"begun", "deployed", "stopped", "taken back", "refused", "nothing on trial"}
    assert set(found["outcomes"]) <= known and found["outcomes"]["begun"] and consistent(found), found


@pytest.mark.parametrize(
    "scenario", ["promoted_while_somebody_takes_back", "promoted_while_the_reference_is_taken_back"]
)
def test_a_promotion_never_outlives_what_an_operator_took_back(facts: dict[str, Any], scenario: str) -> None:
    """One of the two is refused. Or the promotion is over before the operator looks, who takes the version back then."""
    for found in facts[scenario]:
        assert consistent(found), found
        assert found["outcomes"] in (["promoted", "refused"], ["refused", "taken back"], ["promoted", "taken back"])
        is_promoted = "taken back" not in found["outcomes"]
        assert (found["serves"], found["state"]) == ((True, "deployed") if is_promoted else (False, "archived")), found


def test_an_incumbent_is_not_taken_back_as_it_was_read_before_a_promotion(facts: dict[str, Any]) -> None:
    for found in facts["promoted_while_the_reference_is_taken_back"]:
        assert found["outcomes"] != ["promoted", "taken back"], found


def test_death_at_any_moment_leaves_no_half_trial(facts: dict[str, Any]) -> None:
    assert consistent(facts["killed_anywhere"]), facts["killed_anywhere"]
