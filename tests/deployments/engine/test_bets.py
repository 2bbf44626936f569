"""Anytime-valid bets: against the formula written out plainly, and against chance at every look."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deployments.engine.bets import (
    EMPATHY_STAKES,
    FALSE_INTERVENTION_STAKES,
    Blocks,
    Floats,
    Null,
    Series,
    bounds,
    log_evidence_above,
    log_evidence_below,
    log_evidence_share,
    log_paired,
    log_paired_restarted,
    mixture_radius,
    restarted,
)


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
        (Null(), Blocks(19, 1), EMPATHY_STAKES),
        (Null(0.9), Blocks(19, 1), EMPATHY_STAKES),
        (Null(1.0, 0.02), Blocks(1, 9), EMPATHY_STAKES),
        (Null(higher_is_better=False), Blocks(1, 1), FALSE_INTERVENTION_STAKES),
        (Null(1.5, 0.0, False), Blocks(19, 1), FALSE_INTERVENTION_STAKES),
        (Null(1.0, 0.005, False), Blocks(19, 1), (2.0, 4.0, 6.0)),
    ],
)
def test_the_paired_bet_is_the_formula(null: Null, blocks: Blocks, stakes: tuple[float, ...]) -> None:
    rng = np.random.default_rng(3)
    y, z = rng.beta(6, 3, 200), rng.beta(7, 3, 60)
    found = log_paired(y, z, null, blocks, stakes, 0.7)
    plain = _plain_paired(y, z, null.c, null.d, null.higher_is_better, blocks.candidate, blocks.stable, stakes, 0.7)
    assert found == pytest.approx(plain, rel=1e-9)


def test_too_few_for_a_block_say_nothing() -> None:
    assert log_paired(np.ones(18), np.zeros(5), Null(), Blocks(19, 1), EMPATHY_STAKES, 0.7) == 0.0
    assert bounds(Series(np.zeros(0)), 0.01) == (0.0, 1.0)


def test_a_fair_arm_is_seldom_called_harmful_however_often_one_looks() -> None:
    """2,000 runs of three epochs with a look at every fifth block; the rate may be 1% / 4 a run. Under it, 16 alarms or more
    have probability 1e-4.
    """
    rng = np.random.default_rng(4)
    alarms = 0
    for _ in range(2_000):
        y, z = rng.beta(8, 2, 380), rng.beta(8, 2, 20)
        logs = []
        for k in (5, 10, 15, 20):
            starts = [b for b in (0, 6, 12) if b < k]
            ours = Series(y[: 19 * k], tuple(19 * b for b in starts))
            logs.append(
                log_paired_restarted(ours, Series(z[:k], tuple(starts)), Null(), Blocks(19, 1), EMPATHY_STAKES, 0.75)
            )
        alarms += max(logs) >= math.log(4 / 0.01)
    assert alarms < 16


def test_a_worse_arm_is_called_harmful() -> None:
    """Empathy .6 against .8 with 950 people against 50: always, in 50 runs."""
    rng = np.random.default_rng(5)
    logs = [
        log_paired(rng.beta(6, 4, 950), rng.beta(8, 2, 50), Null(), Blocks(19, 1), EMPATHY_STAKES, 0.75)
        for _ in range(50)
    ]
    assert min(logs) > math.log(4 / 0.01)


def test_bounds_hold_at_every_look() -> None:
    """1,000 runs of 200 people, a look at each tenth: each side may be missed in 1% of runs; 26 or more have probability 1e-5."""
    rng = np.random.default_rng(6)
    missed = 0
    for _ in range(1_000):
        y = rng.beta(3, 1, 200)  # mean .75
        missed += any(log_evidence_below(y[:n], 0.75) >= math.log(100) for n in range(10, 201, 10))
    assert missed < 26


def test_bounds_are_the_means_that_no_bet_refutes() -> None:
    y = np.random.default_rng(7).beta(9, 1, 150)
    low, high = bounds(Series(y), 0.01)
    assert low < y.mean() < high and high - low < 0.2
    assert restarted([log_evidence_above(y, low)]) >= math.log(100) > restarted([log_evidence_above(y, low + 0.006)])
    assert restarted([log_evidence_below(y, high)]) >= math.log(100) > restarted([log_evidence_below(y, high - 0.006)])


def test_bets_begun_anew_share_one_capital() -> None:
    """Weights 3/4, 1/8, 1/24 of three epochs and 1/12 for those to come; older ones left out only lower it."""
    logs = [2.0, -5.0, 1.0]
    plain = math.log(math.exp(2.0) * 3 / 4 + math.exp(-5.0) / 8 + math.exp(1.0) / 24 + 1 / 12)
    assert restarted(logs) == pytest.approx(plain)
    assert restarted([0.0] * 52) == pytest.approx(0.0)
    assert restarted(logs[1:], first=2) == pytest.approx(math.log(math.exp(plain) - math.exp(2.0) * 3 / 4))


def test_a_late_fault_moves_the_bounds() -> None:
    """Thirty good weeks of forty people, then two in which empathy is .4."""
    rng = np.random.default_rng(8)
    y = np.r_[rng.beta(8, 2, 1_200), rng.beta(4, 6, 80)]
    assert bounds(Series(y, tuple(range(0, 1_280, 40))), 0.01)[1] < 0.75 < bounds(Series(y), 0.01)[1]


def test_blocks_are_split_as_people_are() -> None:
    assert Blocks.of_holdback(500) == Blocks(19, 1) and Blocks.of_holdback(5_000) == Blocks(1, 1)
    assert Blocks.of_holdback(3_000) == Blocks(2, 1)


def test_a_share_of_slow_requests() -> None:
    assert log_evidence_share(0, 1_000, 0.05) < 0
    assert log_evidence_share(50, 1_000, 0.05) < math.log(100)
    assert log_evidence_share(120, 1_000, 0.05) > math.log(100)


def test_the_mixture_radius_holds_at_every_look() -> None:
    """500 runs of 400 normals: a look at each tenth misses the mean in at most 5%; 45 or more have probability 1e-4."""
    rng = np.random.default_rng(8)
    missed = 0
    for _ in range(500):
        x = rng.normal(size=400)
        missed += any(abs(x[:n].mean()) > mixture_radius(n, x[:n].std(ddof=1), 0.05) for n in range(20, 401, 10))
    assert missed < 45 and mixture_radius(1, 1.0, 0.05) == math.inf
