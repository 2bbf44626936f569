"""Refusals by eight real processes at once on a real PostgreSQL: together they are told no more than one process is."""

from __future__ import annotations

from typing import Any

import pytest

from privacy.services.anonymize.refusals import REFUSALS_A_DAY
from tests.fresh_database import run_on


@pytest.fixture(scope="module")
def facts(fresh_postgresql: str) -> dict[str, Any]:
    """The facts of ``race_refusals.py``, by scenario."""
    return run_on(fresh_postgresql, "tests.privacy.services.anonymize.race_refusals")


def test_releases_that_succeed_use_up_no_refusal(facts: dict[str, Any]) -> None:
    assert facts["answered"] == {"outcomes": {"committed": 24}, "releases": 24}


def test_together_they_are_told_as_many_refusals_as_one_process(facts: dict[str, Any]) -> None:
    assert facts["refused"]["outcomes"] == {"refused": REFUSALS_A_DAY, "nothing told": 24 - REFUSALS_A_DAY}
    assert facts["refused"]["events"] == REFUSALS_A_DAY
