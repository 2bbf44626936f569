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
    restarts,
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


def staged_sum(stage_starts: tuple[int, ...], closed: int) -> float:
    """The shares of all tests of a rollout that have started by a week, with that of first days."""
    tests = [test for _, weeks in TILES for test in restarts(weeks, 1, closed, stage_starts)]
    return FIRST_DAY + sum(math.exp(test.log_share) for test in tests)


@pytest.mark.parametrize("stage_starts", [(1, 5, 9), (1, 5, 13), (1, 9, 17)])
def test_the_tests_of_a_rollout_in_three_stages_share_one_rate(stage_starts: tuple[int, ...]) -> None:
    """400 weeks written out; of the slow tails the rest is known. Each stage has time for its longest tile."""
    later = 100 - len(stage_starts)  # tiles of four weeks that do not start a stage
    rest = 0.125 * 0.1 * (tail(399 - 26) + tail(later - 7))
    assert staged_sum(stage_starts, 400) + rest == pytest.approx(1.0)


@pytest.mark.parametrize("stage_starts", [(1,), (1, 3), (1, 3, 5), (1, 4, 7), (1, 6, 7, 8, 30), (1, 2, 3, 4, 5, 6)])
def test_no_rollout_exceeds_the_rate(stage_starts: tuple[int, ...]) -> None:
    assert staged_sum(stage_starts, 400) < 1.0


def test_the_shares_of_stages_are_those_that_were_measured() -> None:
    """Stages of four weeks: a run through all stages, and tests of their own for the second and the third."""
    share = {
        (weeks, test.week): math.exp(test.log_share) for _, weeks in TILES for test in restarts(weeks, 1, 20, (1, 5, 9))
    }
    week = 0.125 * 0.9 / 26
    assert (share[1, 1], share[2, 1], share[4, 1]) == pytest.approx((0.35, 0.05, 0.05))
    assert (share[1, 5], share[4, 5]) == pytest.approx((0.10 + week, 0.05))
    assert (share[1, 9], share[4, 9]) == pytest.approx((0.05 + week, 0.05))
    assert share[1, 7] == pytest.approx(week) and share[4, 13] == pytest.approx(0.125 * 0.9 / 7)
    assert (2, 5) not in share, "of two weeks there is the first alone"


def test_longer_tiles_end_with_their_stage_and_weeks_go_on() -> None:
    tests = [(weeks, test.week, test.last) for _, weeks in TILES for test in restarts(weeks, 1, 10, (1, 6, 9))]
    assert {t for t in tests if t[0] == 1} == {(1, week, 10) for week in range(1, 11)}
    assert {t for t in tests if t[0] > 1} == {(2, 1, 5), (4, 1, 5)}, (
        "no tile of four weeks fits into weeks 6-8, nor is 9-12 closed"
    )


def test_a_tile_whose_stage_ended_too_soon_has_used_its_share() -> None:
    """Weeks 5-8 of the first stage were begun and cut: the next later tile has the second place, not the first."""
    cut = restarts(4, 1, 100, (1, 7, 11))
    assert [t.week for t in cut][:3] == [1, 7, 11]
    places = [t.log_share for t in cut if t.week > 11]
    whole = [t.log_share for t in restarts(4, 1, 100, (1, 5, 9)) if t.week > 9]
    assert places[:5] == pytest.approx(whole[1:6]) and places[6] == pytest.approx(whole[7])


def test_where_older_weeks_of_a_rollout_are_left_out_every_test_keeps_its_share() -> None:
    whole, cut = (restarts(1, first, 30, (1, 3, 5)) for first in (1, 9))
    assert cut == whole[8:]
