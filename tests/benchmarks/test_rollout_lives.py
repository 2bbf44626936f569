"""Rollouts in the benchmark end by the product's verdicts, on people who keep their place in the ramp."""

import numpy as np
import pytest

from benchmarks.rollout_bets import ab_test, fault, late_fault, silent_fault, slow_fault
from benchmarks.rollout_lives import Community, Life, harmless, rollout


def test_people_stay_in_the_candidates_arm_as_the_share_grows():
    life = Life(Community(people=300), np.random.default_rng(1), 4)
    for week, share in enumerate((0.1, 0.5, 0.95), start=1):
        life.week(week, share)
    weeks = life.lived((1, 2, 3))
    arms = [set(weeks.person[(weeks.week == week) & weeks.ours].tolist()) for week in (1, 2, 3)]
    stayed = [arms[0] - arms[1], arms[1] - arms[2]]
    assert len(arms[0]) < len(arms[1]) < len(arms[2])
    assert not any(weeks.ours[(weeks.person == p) & (weeks.week > 1)].any() == 0 for p in arms[0] if p not in stayed[0])


def test_a_better_candidate_is_promoted_and_an_unkind_one_goes_back():
    assert [rollout(("better", 1_000, 7.0, seed))["step"] for seed in range(3)] == ["promote"] * 3
    assert [rollout(("less empathy", 1_000, 7.0, seed))["step"] for seed in range(3)] == ["roll_back"] * 3


def test_a_harmless_rollout_proves_nothing():
    assert [harmless((world, 1))["proven"] for world in range(4)] == [[]] * 4


def test_the_sizes_of_faults_are_people_of_both_arms():
    row = fault(("empathy_drop_15", 40, 1))
    assert row["found"] == 40 and row["median"] % 10 == 0 and 200 < row["median"] < 700
    assert slow_fault((True, 20, 1))["median"] < 2_500
    assert late_fault((0.4, 10, 1))["found"] == 10
    assert silent_fault((0, 0.30, 10, 1))["found"] == 10
    assert silent_fault((0, 0.08, 10, 1))["found"] == 0


def test_a_lift_is_found_by_the_products_sequence():
    row = ab_test((2, 5, 1))
    assert row["candidate_wins"] == [5, 5] and row["an_arm"] == pytest.approx(2_500, abs=2_300)
