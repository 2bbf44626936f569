"""The weeks of a rotating holdback: one mixture that grows, sees a late fault, and errs no more than it may."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.arrays import Bools, Floats
from deployments.engine.evidence.joint_blocks import JointBlocks, log_wager_path
from deployments.engine.evidence.restarts import ROTATING, log_rotating_share
from deployments.engine.evidence.rotation import first_blocks, log_rotating_path, strongest_start
from deployments.engine.evidence.stakes import FALSE_INTERVENTION_BETS

BAR = math.log(400)


def weeks_of_the_same(
    rng: np.random.Generator, people: int, weeks: int, fault: float = 1.0, onset: int = 1
) -> tuple[Floats, Bools]:
    """The same people each week, 5% of whom are held back anew; people differ for good, and seven interventions a week."""
    own = rng.beta(0.08 * 15, 0.92 * 15, people)
    ours = rng.random((weeks, people)) < 0.95
    worse = ours & (np.arange(1, weeks + 1)[:, None] >= onset)
    values = rng.binomial(7, np.clip(own * np.where(worse, fault, 1.0), 0, 1), (weeks, people)) / 7
    return values.ravel(), ours.ravel()


def path(values: Floats, ours: Bools, people: int, weeks: int) -> Floats:
    people_blocks = JointBlocks.of(values, ours)
    starts = first_blocks(np.repeat(np.arange(1, weeks + 1), people), 20, 1, weeks)
    return log_rotating_path([(people_blocks, bet) for bet in FALSE_INTERVENTION_BETS], starts)


def test_the_mixture_is_the_average_of_the_tests_from_each_week_on() -> None:
    """Written out: each week's test is a bet from its first block on, with the centre that the people before it left."""
    values, ours = weeks_of_the_same(np.random.default_rng(1), 40, 3)
    whole = JointBlocks.of(values, ours)
    wager = [(whole, FALSE_INTERVENTION_BETS[0])]
    whole_path = log_wager_path(wager)
    found = log_rotating_path(wager, [0, 2, 4])
    first_week = math.exp(log_rotating_share(1)) * np.exp(whole_path[:2]) + 1 - math.exp(sum_of_shares(3)) + later(2, 3)
    assert np.exp(found[:2]) == pytest.approx(ROTATING * first_week)
    assert first_blocks(np.array([1, 1, 1, 2, 2]), 2, 1, 2) == [0, 2]


def sum_of_shares(weeks: int) -> float:
    return math.log(sum(math.exp(log_rotating_share(k)) for k in range(1, weeks + 1)))


def later(first: int, last: int) -> float:
    """Tests that have not started yet keep their share."""
    return sum(math.exp(log_rotating_share(k)) for k in range(first, last + 1))


def test_people_who_stay_and_differ_prove_nothing_in_half_a_year() -> None:
    """300 communities of 400 people: the rate may be .25%, so 7 alarms or more have probability 1e-5."""
    rng = np.random.default_rng(2)
    alarms = sum(path(*weeks_of_the_same(rng, 400, 26), 400, 26).max() >= BAR for _ in range(300))
    assert alarms < 7


def test_twice_the_false_interventions_are_found_in_eight_weeks_among_400_people() -> None:
    """A fixed holdback of twenty people never finds this. 60 runs, found in at least 70%."""
    rng = np.random.default_rng(3)
    found = sum(path(*weeks_of_the_same(rng, 400, 8, fault=2.0), 400, 8).max() >= BAR for _ in range(60))
    assert found >= 42


def test_a_late_fault_is_found_and_dated() -> None:
    """After eight good weeks three times as many: within eight weeks, by a test that starts about then."""
    rng = np.random.default_rng(4)
    values, ours = weeks_of_the_same(rng, 1_000, 16, fault=3.0, onset=9)
    starts = first_blocks(np.repeat(np.arange(1, 17), 1_000), 20, 1, 16)
    wager = [(JointBlocks.of(values, ours), bet) for bet in FALSE_INTERVENTION_BETS]
    assert log_rotating_path(wager, starts).max() >= BAR
    assert 7 <= strongest_start(wager, starts) + 1 <= 12


def test_where_older_weeks_are_left_out_evidence_is_never_more() -> None:
    values, ours = weeks_of_the_same(np.random.default_rng(5), 100, 8, fault=2.0)
    wager = [(JointBlocks.of(values, ours), bet) for bet in FALSE_INTERVENTION_BETS]
    assert log_rotating_path(wager, [0, 5], first=9)[-1] < log_rotating_path(wager, [0, 5])[-1]
