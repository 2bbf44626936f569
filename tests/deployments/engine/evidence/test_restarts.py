"""The shares of the false-alarm rate: whole over the life of a deployment, and never used up."""

from __future__ import annotations

import math

import pytest

from deployments.engine.evidence.restarts import (
    FIRST_DAY,
    ROTATING,
    TILES,
    log_minutes_share,
    log_rotating_share,
    log_share,
)


def tail(k: int) -> float:
    """What is left of steps of 1 / (1 + ln k) after the first k of them."""
    return 1 / (1 + math.log(k + 1))


def test_the_tests_of_a_deployment_share_one_rate() -> None:
    """400 weeks written out; of the slow tails the rest is known."""
    begun = [log_share(weeks, number) for _, weeks in TILES for number in range(1, 400 // weeks + 1)]
    rest = 0.125 * 0.1 * (tail(399 - 26) + tail(99 - 7))
    assert FIRST_DAY + sum(math.exp(share) for share in begun) + rest == pytest.approx(1.0)


def test_a_rotating_holdback_is_one_mixture_beside_the_first_day() -> None:
    begun = sum(math.exp(log_rotating_share(number)) for number in range(1, 401))
    assert begun + 0.5 * 0.1 * tail(399 - 26) == pytest.approx(1.0) and FIRST_DAY + ROTATING == 1.0


def test_hours_and_days_share_one_rate() -> None:
    begun = sum(math.exp(log_minutes_share(number)) for number in range(1, 401))
    assert begun + 0.125 * tail(399) == pytest.approx(0.875)


def test_every_week_begins_a_test_however_late() -> None:
    assert all(math.isfinite(log_share(1, number)) for number in (2, 26, 27, 28, 500))
    assert log_share(2, 2) == -math.inf, "of two weeks there is the first alone"
