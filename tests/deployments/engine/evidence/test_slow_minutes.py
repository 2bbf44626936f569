"""Latency of two arms by the minute: golden numbers, slow databases, and faults after good days."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deployments.engine.evidence.restarts import log_minutes_share
from deployments.engine.evidence.slow_minutes import MinuteShares, SlowMinutes, log_slower_path, starts_of

BAR = math.log(400)


def minutes(ours: list[tuple[int, int]], theirs: list[tuple[int, int]]) -> SlowMinutes:
    """(answered, slow) of both arms in each minute."""
    a, b = np.array(ours, dtype=float), np.array(theirs, dtype=float)
    return SlowMinutes(a[:, 0], a[:, 1], b[:, 0], b[:, 1])


def test_golden_numbers_of_an_independent_simulation() -> None:
    found = log_slower_path(minutes([(1, 1), (1, 0), (2, 2)], [(9, 0), (9, 0), (18, 0)]))
    assert found == pytest.approx([1.5385406, 1.51723609, 4.86357552], abs=1e-7)


def drawn(rng: np.random.Generator, slow: float, theirs: float, share: float, n: int) -> SlowMinutes:
    """n minutes of 20 requests."""
    ours = rng.binomial(20, share, n)
    return SlowMinutes.of((ours, rng.binomial(ours, slow), 20 - ours, rng.binomial(20 - ours, theirs)))


def test_a_database_that_is_slow_for_everybody_proves_nothing() -> None:
    """500 runs of 600 minutes, of which some are half slow in both arms: 6 or more have probability 1e-3 at the rate of .25%."""
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(500):
        slow = np.where(rng.random(600) < 0.05, 0.5, 0.005)
        ours = rng.binomial(20, 0.95, 600)
        counts = (ours, rng.binomial(ours, slow), 20 - ours, rng.binomial(20 - ours, slow))
        alarms += log_slower_path(SlowMinutes.of(counts)).max() >= BAR
    assert alarms < 6


def test_a_slower_version_is_proven_at_any_ratio() -> None:
    rng = np.random.default_rng(2)
    for share in (0.1, 0.5, 0.95):
        assert log_slower_path(drawn(rng, 0.10, 0.005, share, 600)).max() >= BAR
    assert log_slower_path(drawn(rng, 0.008, 0.005, 0.5, 600)).max() < BAR, "within what is tolerated"


def test_a_test_starts_on_each_day_with_its_own_share() -> None:
    whole = SlowMinutes.of(np.ones((4, 5)), (0, 2), 8)
    assert [(len(part.ours), share) for part, share in whole.tests] == [
        (5, log_minutes_share(8)), (3, log_minutes_share(9)),
    ]  # fmt: skip
    shares = MinuteShares(np.arange(5.0), (0, 2), 1)
    assert [v.tolist() for v, _ in shares.tests] == [[0, 1, 2, 3, 4], [2, 3, 4]]
    assert starts_of(np.array([3, 3, 5]), range(3, 6)) == (0, 2, 2)


def test_the_excess_is_of_minutes_in_which_both_were_answered() -> None:
    assert minutes([(4, 2), (9, 9)], [(4, 1), (0, 0)]).excess == pytest.approx(0.25)
    alone = minutes([(4, 2)], [(0, 0)])
    assert alone.excess is None and log_slower_path(alone) == pytest.approx([0.0], abs=1e-9)
