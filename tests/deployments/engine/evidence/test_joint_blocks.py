"""The bet between two arms: golden numbers, the recipe written out plainly, and no alarm where nothing differs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from core.arrays import Bools, Floats
from deployments.engine.evidence.joint_blocks import (
    BLOCK,
    EQUAL,
    JointBlocks,
    NullHypothesis,
    log_joint_path,
    log_wager_path,
)
from deployments.engine.evidence.stakes import EMPATHY_BETS, FALSE_INTERVENTION_BETS, LATENCY_BET, Stakes

Block = tuple[list[float], list[float]]  # values of the candidate's people and of the stable arm's
EMPATHY: list[Block] = [([0.4], [0.7, 0.8, 0.9]), ([0.5, 0.6], [0.9]), ([], [0.8, 0.7]), ([0.1], [0.75, 0.65])]
HARM: list[Block] = [([1], [0, 0, 0.25]), ([0.5, 1], [0]), ([], [0, 1]), ([1], [0, 0])]
SLOW: list[Block] = [([1], [0] * 9), ([0], [0] * 9), ([1, 1], [0] * 18)]


def blocks_of(blocks: Sequence[Block]) -> JointBlocks:
    size = max(len(ours) + len(theirs) for ours, theirs in blocks)
    values, ours, present = np.zeros((len(blocks), size)), *np.zeros((2, len(blocks), size), dtype=bool)
    for i, (a, b) in enumerate(blocks):
        values[i, : len(a) + len(b)] = [*a, *b]
        ours[i, : len(a)], present[i, : len(a) + len(b)] = True, True
    return JointBlocks(values, ours, present)


def even(grid: tuple[float, ...], prior: float, higher: bool) -> Stakes:
    return Stakes(grid, (1 / len(grid),) * len(grid), prior, higher)


def plain(blocks: Sequence[Block], bet: Stakes, c: float = 1.0, d: float = 0.0) -> list[float]:
    """The recipe word for word, one person at a time."""
    said, wealth = [], [1.0] * len(bet.grid)
    sums, people = bet.pseudo * bet.prior, bet.pseudo
    for ours, theirs in blocks:
        ours, theirs = ([float(bet.seen(np.array([y]))[0]) for y in arm] for arm in (ours, theirs))
        m, n = sums / people, len(ours) + len(theirs)
        if bet.higher_is_better:
            worst_c, worst_s = 1 - (c * m - d), c * m
        else:
            worst_c, worst_s = c * m + d, c * (1 - m)
        for k, stake in enumerate(bet.grid):
            size = min(stake, 0.95 / max(len(theirs) / n * worst_c, len(ours) / n * worst_s))
            for y in ours:
                wealth[k] *= 1 + size * len(theirs) / n * ((c * m - d - y) if bet.higher_is_better else (y - c * m - d))
            for z in theirs:
                wealth[k] *= 1 + size * len(ours) / n * c * ((z - m) if bet.higher_is_better else (m - z))
        counted = theirs if (c, d) != (1.0, 0.0) else ours + theirs
        sums, people = sums + sum(counted), people + len(counted)
        said.append(math.log(sum(w * share for w, share in zip(wealth, bet.weights, strict=True))))
    return said


@pytest.mark.parametrize(
    ("blocks", "bet", "null", "golden"),
    [
        (EMPATHY, EMPATHY_BETS[0], EQUAL, [0.61973433, 0.98037324, 0.98037324, 1.67850055]),
        (EMPATHY, EMPATHY_BETS[0], NullHypothesis(0.9), [0.46442933, 0.74680743, 0.74680743, 1.35272509]),
        (EMPATHY, EMPATHY_BETS[1], EQUAL, [0.65636205, 1.56176062, 1.56176062, 1.97990912]),
        (HARM, even((0.3, 0.6, 1.2, 4.0), 0.1, False), EQUAL, [0.72525615, 1.26320516, 1.26320516, 2.41117821]),
        (HARM, even((0.5, 1.0, 2.0, 4.0), 0.2, False), EQUAL, [0.95029364, 1.62534295, 1.62534295, 2.94766001]),
        (HARM, FALSE_INTERVENTION_BETS[0], EQUAL, [0.63599433, 1.13921182, 1.13921182, 2.13093463]),
        (HARM, FALSE_INTERVENTION_BETS[1], EQUAL, [0.54760758, 1.32610096, 1.32610096, 2.36744277]),
        (SLOW, LATENCY_BET, NullHypothesis(1.0, 0.005), [1.5385406, 1.51723609, 4.86357552]),
    ],
)
def test_golden_numbers_of_an_independent_simulation(
    blocks: list[Block], bet: Stakes, null: NullHypothesis, golden: list[float]
) -> None:
    assert log_joint_path(blocks_of(blocks), bet, null) == pytest.approx(golden, abs=1e-7)
    assert plain(blocks, bet, null.c, null.d) == pytest.approx(golden, abs=1e-7)


@pytest.mark.parametrize(
    ("blocks", "bets", "golden"),
    [
        (EMPATHY, EMPATHY_BETS, [0.63821588, 1.31273636, 1.31273636, 1.840518]),
        (HARM, FALSE_INTERVENTION_BETS, [0.59277716, 1.237016, 1.237016, 2.25616448]),
    ],
)
def test_half_is_bet_on_floored_values(blocks: list[Block], bets: tuple[Stakes, Stakes], golden: list[float]) -> None:
    people = blocks_of(blocks)
    assert log_wager_path([(people, bet) for bet in bets]) == pytest.approx(golden, abs=1e-7)


def mixed(rng: np.random.Generator, people: int, share: float) -> tuple[Floats, Bools]:
    return rng.beta(6, 3, people), rng.random(people) < share


@pytest.mark.parametrize("share", [0.03, 0.1, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("bet", [*EMPATHY_BETS, *FALSE_INTERVENTION_BETS])
def test_any_ratio_of_the_arms_is_the_recipe(share: float, bet: Stakes) -> None:
    values, ours = mixed(np.random.default_rng(3), 307, share)
    blocks = [
        (list(values[i : i + BLOCK][ours[i : i + BLOCK]]), list(values[i : i + BLOCK][~ours[i : i + BLOCK]]))
        for i in range(0, 300, BLOCK)
    ]
    assert log_joint_path(JointBlocks.of(values, ours), bet) == pytest.approx(plain(blocks, bet), rel=1e-9)


def test_a_block_with_one_arm_says_nothing_and_moves_the_centre() -> None:
    alone = JointBlocks.of(np.linspace(0.1, 0.9, 40), np.ones(40, dtype=bool))
    assert log_joint_path(alone, EMPATHY_BETS[0]).tolist() == [0.0, 0.0]
    assert JointBlocks.of(np.ones(19), np.ones(19, dtype=bool)).values.size == 0


def test_worlds_that_change_for_both_arms_prove_nothing() -> None:
    """2,000 runs of 2,000 people at 1:9 of whom every value falls by .5 after the 700th, a look at every block: the rate may be
    .25%, so 16 alarms or more have probability 1e-4."""
    rng = np.random.default_rng(4)
    values = np.clip(rng.normal(0.75, 0.15, (2_000, 2_000)) - 0.5 * (np.arange(2_000) >= 700), 0, 1)
    people = JointBlocks.of(values, rng.random(values.shape) < 0.1)
    path = log_wager_path([(people, bet) for bet in EMPATHY_BETS])
    assert (path.max(axis=1) >= math.log(400)).sum() < 16


def test_an_incident_has_no_direction_inside_a_block() -> None:
    """Everything falls by .5 in the middle of a block, with the centre at the very mean: at stake 1.5 and p = .1 the block's mean
    factor is 1.005, which is the whole inflation of one incident."""
    rng = np.random.default_rng(5)
    values = np.where(np.arange(BLOCK) < BLOCK // 2, 0.75, 0.25)
    bet = Stakes((1.5,), (1.0,), 0.5, True)
    ours = rng.random((200_000, 1, BLOCK)) < 0.1
    people = JointBlocks(np.broadcast_to(values, ours.shape), ours)
    assert np.exp(log_joint_path(people, bet)).mean() == pytest.approx(1.005, abs=0.003)


def test_a_fall_of_fifteen_percent_is_proven_among_450_people_at_one_in_ten() -> None:
    """Empathy .595 against .7 with a spread of .15: in half of 400 runs, at the bar of a test with 35% of the share."""
    rng = np.random.default_rng(6)
    ours = rng.random((400, 2_000)) < 0.1
    values = np.clip(rng.normal(np.where(ours, 0.595, 0.7), 0.15), 0, 1)
    path = log_wager_path([(JointBlocks.of(values, ours), bet) for bet in EMPATHY_BETS])
    found = (path >= math.log(400 / 0.35)).argmax(axis=1)
    assert np.median((found + 1) * BLOCK) <= 450


def test_many_runs_at_once_are_each_run_alone() -> None:
    rng = np.random.default_rng(11)
    runs = [mixed(rng, 400, 0.3) for _ in range(3)]
    together = JointBlocks.of(np.stack([values for values, _ in runs]), np.stack([ours for _, ours in runs]))
    for found, (values, ours) in zip(log_joint_path(together, EMPATHY_BETS[0]), runs, strict=True):
        assert found == pytest.approx(log_joint_path(JointBlocks.of(values, ours), EMPATHY_BETS[0]))
