"""Words on devices of two apps by eight real processes at once on a real PostgreSQL: no order grants over a refusal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fresh_database import run_on


@pytest.fixture(scope="module")
def facts(fresh_postgresql: str) -> dict[str, Any]:
    """The facts of ``race_refusals.py``, by scenario."""
    return run_on(fresh_postgresql, "tests.privacy.services.people.race_refusals")


def test_nothing_is_granted_while_another_apps_refusal_stands(facts: dict[str, Any]) -> None:
    race = facts["any_words"]
    assert set(race["outcomes"]) == {"granted", "refused", "refused elsewhere"}, race["outcomes"]
    assert race["granted_over_a_refusal"] == 0 and race["mask_fits"] and race["vault"] == ""


def test_each_apps_refusal_is_written_once(facts: dict[str, Any]) -> None:
    race = facts["both_refuse_once"]
    assert race["refusals"] == [1, 1] and race["answers"] == ["refused elsewhere", "granted"]
    assert race["granted_over_a_refusal"] == 0 and race["granted"] and race["mask_fits"] and race["vault"] == ""
