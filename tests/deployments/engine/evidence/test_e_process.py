"""Anytime-valid bets: against the formula written out plainly, and against chance at every look."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.arrays import Floats
from deployments.engine.evidence.cohort_series import FIRST, CohortSeries, UnitSample
from deployments.engine.evidence.e_process import (
    EMPATHY_STAKES,
    FALSE_INTERVENTION_STAKES,
    NullHypothesis,
    PairedBlocks,
    bounds,
    log_evidence_above,
    log_evidence_below,
    log_paired,
    log_paired_path,
    mean_radius,
    strongest_above,
    strongest_below,
)


def sample(values: Floats, *starts: int) -> UnitSample:
    """What an unweighted bet is made on."""
    return UnitSample(values, starts or (0,), 0.0)


def _plain_paired(
    y: Floats, z: Floats, c: float, d: float, higher: bool, n_c: int, n_s: int, stakes: tuple[float, ...], prior: float
) -> float:
    """The recipe word for word, one unit at a time."""
    total = []
    for stake in stakes:
        log_e = 0.0
        seen_c: list[float] = []
        seen_s: list[float] = []
        for b in range(min(len(y) // n_c, len(z) // n_s)):
            mean_c = (sum(seen_c) + 20 * prior) / (len(seen_c) + 20)
            mean_s = (sum(seen_s) + 20 * prior) / (len(seen_s) + 20)
            m = mean_s if (c != 1 or d != 0) else (mean_c + mean_s) / 2
            ours, theirs = y[b * n_c : (b + 1) * n_c], z[b * n_s : (b + 1) * n_s]
            if higher:
                u, v = [c * m - d - x for x in ours], [c * (x - m) for x in theirs]
                worst_u, worst_v = 1 - (c * m - d), c * m
            else:
                u, v = [x - c * m - d for x in ours], [c * (m - x) for x in theirs]
                worst_u, worst_v = c * m + d, c * (1 - m)
            a = min(stake, 0.95 * min(1 / worst_u, n_s / (n_c * worst_v)))
            log_e += sum(math.log(1 + a * x) for x in u) + sum(math.log(1 + a * n_c / n_s * x) for x in v)
            seen_c += list(ours)
            seen_s += list(theirs)
        total.append(log_e)
    return math.log(sum(math.exp(x) for x in total) / len(total))


@pytest.mark.parametrize(
    ("null", "blocks", "stakes"),
    [
        (NullHypothesis(), PairedBlocks(19, 1), EMPATHY_STAKES),
        (NullHypothesis(0.9), PairedBlocks(19, 1), EMPATHY_STAKES),
        (NullHypothesis(1.0, 0.02), PairedBlocks(1, 9), EMPATHY_STAKES),
        (NullHypothesis(higher_is_better=False), PairedBlocks(1, 1), FALSE_INTERVENTION_STAKES),
        (NullHypothesis(1.5, 0.0, False), PairedBlocks(19, 1), FALSE_INTERVENTION_STAKES),
        (NullHypothesis(1.0, 0.005, False), PairedBlocks(19, 1), (2.0, 4.0, 6.0)),
    ],
)
def test_the_paired_bet_is_the_formula(null: NullHypothesis, blocks: PairedBlocks, stakes: tuple[float, ...]) -> None:
    rng = np.random.default_rng(3)
    y, z = rng.beta(6, 3, 200), rng.beta(7, 3, 60)
    found = log_paired(sample(y), sample(z), null, blocks, stakes, 0.7)
    plain = _plain_paired(y, z, null.c, null.d, null.higher_is_better, blocks.candidate, blocks.stable, stakes, 0.7)
    assert found == pytest.approx(plain, rel=1e-9)


def test_the_path_is_what_is_known_after_each_block_of_each_run() -> None:
    rng = np.random.default_rng(12)
    y, z = rng.beta(6, 3, (3, 10, 19)), rng.beta(7, 3, (3, 10, 1))
    path = log_paired_path(y, z, NullHypothesis(0.9), EMPATHY_STAKES, 0.7)
    for run, blocks in ((0, 10), (2, 4)):
        ours, theirs = (sample(arm[run, :blocks].ravel()) for arm in (y, z))
        found = log_paired(ours, theirs, NullHypothesis(0.9), PairedBlocks(19, 1), EMPATHY_STAKES, 0.7)
        assert path[run, blocks - 1] == pytest.approx(found, rel=1e-9)


def test_too_few_for_a_block_say_nothing() -> None:
    few = sample(np.ones(18)), sample(np.zeros(5))
    assert log_paired(*few, NullHypothesis(), PairedBlocks(19, 1), EMPATHY_STAKES, 0.7) == 0.0
    assert bounds(CohortSeries(np.zeros(0)), 0.01) == (0.0, 1.0)


def test_a_block_is_of_one_epoch() -> None:
    """Of five and four units in two epochs against one in each, two and two of ours are used, never two of different epochs."""
    ours, theirs = PairedBlocks(2, 1).of(sample(np.arange(9.0), 0, 5), sample(np.array([10.0, 20.0]), 0, 1))
    assert ours.tolist() == [[0, 1], [5, 6]] and theirs.tolist() == [[10], [20]]


def test_a_fair_arm_is_seldom_called_harmful_however_often_one_looks() -> None:
    """2,000 runs with fresh people, a look at every block: the rate may be 1% / 4. Under it, 16 alarms or more: 1e-4."""
    rng = np.random.default_rng(4)
    y, z = rng.beta(8, 2, (2_000, 20, 19)), rng.beta(8, 2, (2_000, 20, 1))
    alarms = (log_paired_path(y, z, NullHypothesis(), EMPATHY_STAKES, 0.75).max(axis=1) >= math.log(4 / 0.01)).sum()
    assert alarms < 16


def lasting(rng: np.random.Generator, means: Floats, steps: int, weeks: int) -> Floats:
    """(weeks, people) Shares around each person's own mean."""
    return rng.binomial(steps, means, (weeks, len(means))) / steps


def until(values: Floats, weeks: int) -> CohortSeries:
    """What is known after so many weeks, of which the last two may still get more."""
    n = values.shape[1]
    who, starts = np.tile(np.arange(n), weeks), tuple(range(0, weeks * n, n))
    return CohortSeries(values[:weeks].ravel(), who, starts, closed=max(0, weeks - 2))


@pytest.mark.parametrize(
    ("stakes", "higher", "prior", "of_people", "steps"),
    [
        (FALSE_INTERVENTION_STAKES, False, 0.1, (0.33, 3.8), 2),  # mean .08, spread .12
        (FALSE_INTERVENTION_STAKES, False, 0.1, (0.07, 0.77), 2),  # spread .2
        (EMPATHY_STAKES, True, 0.75, (8.1, 2.0), 8),  # mean .8, spread .12
    ],
)
def test_people_who_last_are_no_evidence_again(
    stakes: tuple[float, ...], higher: bool, prior: float, of_people: tuple[float, float], steps: int
) -> None:
    """200 communities of 380 people against 20, all of whom stay for 26 weeks and differ for good, looked at at four weeks' ends.
    One trigger may err in 1% / 4; 6 alarms or more have probability 1e-5. Were a week's values taken for new people's, 21 to 33
    of each 200 would lose a good version.
    """
    rng = np.random.default_rng(14)
    null, alarms = NullHypothesis(higher_is_better=higher), 0
    for _ in range(200):
        ours, theirs = (lasting(rng, rng.beta(*of_people, n), steps, 26) for n in (380, 20))
        said = [
            log_paired(y, z, null, PairedBlocks(19, 1), stakes, prior)
            for weeks in (6, 13, 20, 26)
            for y, z in zip(until(ours, weeks).samples, until(theirs, weeks).samples, strict=True)
        ]
        alarms += max(said) >= math.log(4 / 0.01)
    assert alarms < 6


def test_a_worse_arm_is_called_harmful() -> None:
    """Empathy .6 against .8 with 950 people against 50: always, in 50 runs."""
    rng = np.random.default_rng(5)
    path = log_paired_path(
        rng.beta(6, 4, (50, 50, 19)), rng.beta(8, 2, (50, 50, 1)), NullHypothesis(), EMPATHY_STAKES, 0.75
    )
    assert path[:, -1].min() > math.log(4 / 0.01 / FIRST)


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
    low, high = bounds(CohortSeries(y), 0.01)
    bar = math.log(100 / FIRST)
    assert low < y.mean() < high and high - low < 0.2
    assert log_evidence_above(y, low) >= bar > log_evidence_above(y, low + 0.006)
    assert log_evidence_below(y, high) >= bar > log_evidence_below(y, high - 0.006)


def test_a_late_fault_moves_the_bounds() -> None:
    """Thirty good weeks of forty people, new in each, then two in which empathy is .4."""
    rng = np.random.default_rng(8)
    y = np.r_[rng.beta(8, 2, 1_200), rng.beta(4, 6, 80)]
    assert bounds(CohortSeries(y, starts=tuple(range(0, 1_280, 40))), 0.01)[1] < 0.75 < bounds(CohortSeries(y), 0.01)[1]


def test_blocks_are_split_as_people_are() -> None:
    assert PairedBlocks.of_holdback(500) == PairedBlocks(19, 1) and PairedBlocks.of_holdback(5_000) == PairedBlocks(
        1, 1
    )
    assert PairedBlocks.of_holdback(3_000) == PairedBlocks(2, 1)


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
