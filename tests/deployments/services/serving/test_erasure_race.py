"""Erasing people whom other processes are deciding for, hearing and rewarding: nothing is left and nothing fails."""

from __future__ import annotations

import pytest

from tests.fresh_database import run_on

pytestmark = pytest.mark.embedded  # it has databases of its own


def test_nothing_is_added_to_somebody_who_is_being_erased(fresh_database: str) -> None:
    facts = run_on(fresh_database, "tests.deployments.services.serving.race_erasure")
    told = facts["told"]
    assert not [what for what in told if what.startswith("Error")], told
    assert told["erased"] == 12 and min(told[what] for what in ("heard", "decided", "rewarded", "closed")) > 0, told
    left = {
        name: facts[name]
        for name in ("DataKey", "Signal", "Decision", "ServedDecision", "ServingState", "RewardSignal")
    }
    assert left == dict.fromkeys(left, 0)
