"""Two approvals at once, by real processes on a real PostgreSQL: the act is done once, and all books agree."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fresh_database import run_on


@pytest.fixture(scope="module")
def facts(fresh_postgresql: str) -> dict[str, Any]:
    """The facts of ``race_approvals.py``, by scenario."""
    return run_on(fresh_postgresql, "tests.privacy.services.approvals.race_approvals")


def test_it_ran_on_postgresql(facts: dict[str, Any]) -> None:
    assert facts["vendor"] == "postgresql"


def test_of_eight_approvals_one_counts_and_the_act_is_done_once(facts: dict[str, Any]) -> None:
    found = facts["approved_at_once"]
    assert found["outcomes"] == {"approved": 1, "refused": 7}, found
    assert (found["state"], found["deployments"], found["told"], found["recorded"]) == ("approved", 1, 2, 2)


def test_of_an_approval_and_a_refusal_one_counts(facts: dict[str, Any]) -> None:
    found = facts["approved_while_others_decline"]
    assert found["outcomes"]["refused"] == 7 and found["outcomes"].get(found["state"]) == 1, found
    assert found["deployments"] == (found["state"] == "approved")
    assert (found["told"], found["recorded"]) == (2, 2)


def test_the_same_request_at_once_is_written_down_once(facts: dict[str, Any]) -> None:
    found = facts["asked_at_once"]
    assert (found["outcomes"], found["requests"]) == ({"Approval": 8}, 1)
    assert (found["state"], found["deployments"], found["told"], found["recorded"]) == ("waiting", 0, 1, 1)


@pytest.mark.parametrize("scenario", ["asked_at_once", "approved_at_once", "approved_while_others_decline"])
def test_the_trust_vault_holds(facts: dict[str, Any], scenario: str) -> None:
    assert facts[scenario]["broken"] == ""
