"""Anytime-valid bets on one mean: against the formula written out plainly, and against chance at every look."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.arrays import Floats
from deployments.engine.evidence.e_process import (
    Weighted,
    bounds,
    log_evidence_above,
    log_evidence_below,
    mean_radius,
    strongest_above,
    strongest_below,
)
from deployments.engine.evidence.person_weeks import PersonWeeks


def lasting(rng: np.random.Generator, means: Floats, steps: int, weeks: int) -> Floats:
    """(weeks, people) Shares around each person's own mean."""
    return rng.binomial(steps, means, (weeks, len(means))) / steps


def until(values: Floats, weeks: int) -> Weighted:
    """What is known of one arm after so many closed weeks."""
    n = values.shape[1]
    week, who = np.repeat(np.arange(1, weeks + 1), n), np.tile(np.arange(n), weeks)
    shares = values[:weeks].reshape(-1, 1)
    table = PersonWeeks(week, who, np.ones(len(who), dtype=bool), np.ones(len(who)), shares, closed=weeks)
    return [(sample.arm(ours=True), sample.log_weight) for sample in table.samples]


def test_nothing_is_known_of_nobody() -> None:
    assert bounds([], 0.01) == (0.0, 1.0) and bounds([(np.zeros(0), 0.0)], 0.01) == (0.0, 1.0)


def test_bounds_hold_at_every_look() -> None:
    """1,000 runs of 200 people, a look at each tenth: each side may be missed in 1% of runs; 26 or more have probability 1e-5."""
    rng = np.random.default_rng(6)
    y = rng.beta(3, 1, (1_000, 200))  # mean .75
    looks = [log_evidence_below(y[:, :n], 0.75) >= math.log(100) for n in range(10, 201, 10)]
    assert np.any(looks, axis=0).sum() < 26


def test_bounds_hold_for_people_who_last() -> None:
    """500 communities of 100 people of mean .75 who differ for good and stay for 20 weeks, five looks: each side may be missed in
    1%; 16 or more have probability 1e-4.
    """
    rng = np.random.default_rng(16)
    missed = np.zeros(2, dtype=int)
    for _ in range(500):
        values = lasting(rng, rng.beta(3, 1, 100), 1, 20)
        seen = [until(values, weeks) for weeks in (1, 2, 6, 10, 20)]
        said = [(strongest_below(series, 0.75), strongest_above(series, 0.75)) for series in seen]
        missed += np.max(said, axis=0) >= math.log(100)
    assert missed.max() < 16


def test_bounds_are_the_means_that_no_bet_refutes() -> None:
    y = np.random.default_rng(7).beta(9, 1, 150)
    low, high = bounds([(y, math.log(0.75))], 0.01)
    bar = math.log(100 / 0.75)
    assert low < y.mean() < high and high - low < 0.2
    assert log_evidence_above(y, low) >= bar > log_evidence_above(y, low + 0.006)
    assert log_evidence_below(y, high) >= bar > log_evidence_below(y, high - 0.006)


def test_a_late_fault_moves_the_bounds() -> None:
    """Thirty good weeks of the same 200 people, then two in which empathy is .4: the tests of these weeks see it."""
    rng = np.random.default_rng(8)
    weeks = np.r_[rng.beta(8, 2, (30, 200)), rng.beta(4, 6, (2, 200))]
    assert bounds(until(weeks, 32), 0.01)[1] < 0.75 < bounds(until(weeks, 30), 0.01)[1]


def test_the_radius_of_a_mean_holds_at_every_n() -> None:
    """4,000 runs of 60 normal values, a look at each from the second on: the mean is missed in at most 5%; 260 or more: 1e-5."""
    x = np.random.default_rng(8).normal(size=(4_000, 60))
    looks = [abs(x[:, :n].mean(axis=1)) > mean_radius(n, 1, 0.05) * x[:, :n].std(axis=1, ddof=1) for n in range(2, 61)]
    assert np.any(looks, axis=0).sum() < 260


def test_so_few_prove_nothing_about_a_mean() -> None:
    assert mean_radius(1, 1.0, 0.05) == math.inf and mean_radius(5, 1.0, 1e-4) == math.inf
    assert 1.0 < mean_radius(20, 1.0, 0.005) < 1.3 and mean_radius(2_000, 1.0, 0.005) < 0.12


def test_the_radius_is_where_the_mixed_t_test_stands_at_its_bar() -> None:
    """The e-value written out: sqrt(c / (n + c)) (1 - S^2 / ((n + c) V))^(-n/2), of sums about the mean that is tested."""
    x = np.random.default_rng(9).normal(size=30)
    x -= x.mean()
    alpha, n = 0.01, 30
    prior = 50 / (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1))
    about = x + mean_radius(n, float(x.std(ddof=1)), alpha)
    e = math.sqrt(prior / (n + prior)) * (1 - about.sum() ** 2 / ((n + prior) * (about**2).sum())) ** (-n / 2)
    assert e == pytest.approx(1 / alpha)
