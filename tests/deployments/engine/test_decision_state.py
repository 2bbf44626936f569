"""The state of a decision: what the app says, else what follows, else what was heard."""

from __future__ import annotations

from datetime import time
from math import isnan, nan
from typing import Any

from deployments.engine.decision_state import compose_state, fill_missing
from loops.engine.parse.loop import parse_loop
from loops.engine.state.scalar import ScalarDynamics
from tests.factories.care import TOML

POINTS = ScalarDynamics(parse_loop(TOML.replace("RULES", "").replace("DEADLINE", "24h"), source="care.toml"))
NOTHING = [nan, nan, nan]  # mood, place, gap
NOW: dict[str, Any] = {"at": time(12), "intervened": False, "same_day": True}


def test_what_the_app_says_goes_before_everything() -> None:
    state, kept = compose_state(POINTS, [0.1, 1.0, 0.5], [0.9, 0.0, 0.9], [0.0, 0.0, 0.0], **NOW)
    assert state == kept == [0.1, 1.0, 0.5]


def test_what_follows_from_the_last_decision_goes_before_what_was_heard_and_is_not_kept_as_heard() -> None:
    state, kept = compose_state(POINTS, NOTHING, [0.9, 0.0, 0.9], [0.2, 1.0, 0.25], **NOW)
    assert state == [0.9, 0.0, 0.5] and kept == [0.9, 0.0, 0.9], "the gap widened by its step"


def test_what_nobody_said_or_heard_is_not_known() -> None:
    state, kept = compose_state(POINTS, NOTHING, None, None, **NOW)
    assert [isnan(value) for value in state] == [True, True, False] and kept is NOTHING


def test_numbers_that_are_not_known_are_filled_with_older_ones() -> None:
    assert fill_missing([1.0, nan], [3.0, 4.0]) == [1.0, 4.0]
