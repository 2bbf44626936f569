"""The normal mixture of A/B tests: golden numbers, the recipe written out plainly, its error rate, and what a past saves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.arrays import Bools, Floats
from deployments.engine.evidence.joint_blocks import BLOCK
from deployments.engine.evidence.normal_mixture import (
    MixtureBlocks,
    boundary,
    interval,
    log_mixture,
    mixing_variance,
    mixture_blocks,
    planned_information,
)


def test_golden_numbers_of_confseq() -> None:
    """v = 100, v_opt = 100, alpha = .05, two-sided, of the library confseq (Howard and others)."""
    r = mixing_variance(100.0, 0.05)
    assert r == pytest.approx(12.60056, abs=1e-5)
    assert boundary(np.array([100.0]), r, 0.05)[0] == pytest.approx(30.35209, abs=1e-5)


def test_evidence_reaches_one_over_alpha_exactly_at_the_boundary() -> None:
    r, v = mixing_variance(300.0, 0.02), np.array([0.0, 3.0, 300.0, 9_000.0])
    assert log_mixture(boundary(v, r, 0.02), v, r) == pytest.approx(math.log(1 / 0.02))


def test_the_boundary_is_tightest_at_the_planned_information() -> None:
    r = mixing_variance(250.0, 0.05)
    for other in (0.5 * r, 2 * r):
        assert boundary(np.array([250.0]), r, 0.05)[0] < boundary(np.array([250.0]), other, 0.05)[0]
    assert planned_information(5_000, 0.5, math.sqrt(0.21)) == pytest.approx(2_500 / 2 * 0.21)


def plain(values: Floats, ours: Bools) -> tuple[float, float, float]:
    """S, V and the sum of weights, one block after the other. Five people of both arms begin the variance of each."""
    s = v = w = 0.0
    squares, freedom = [0.0, 0.0], [0, 0]
    for i in range(0, len(values) // BLOCK * BLOCK, BLOCK):
        a, b = values[i : i + BLOCK][ours[i : i + BLOCK]], values[i : i + BLOCK][~ours[i : i + BLOCK]]
        for k, arm in enumerate((a, b)):
            if len(arm):
                squares[k], freedom[k] = squares[k] + ((arm - arm.mean()) ** 2).sum(), freedom[k] + len(arm) - 1
        if len(a) and len(b):
            both = sum(squares) / max(sum(freedom), 1)
            own = [(square + 5 * both) / (free + 5) for square, free in zip(squares, freedom, strict=True)]
            weight, spread = len(a) * len(b) / BLOCK, (len(b) * own[0] + len(a) * own[1]) / BLOCK
            s, v, w = s + weight * (a.mean() - b.mean()), v + weight * spread, w + weight
    return s, v, w


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_any_split_is_the_recipe(share: float) -> None:
    rng = np.random.default_rng(2)
    values, ours = rng.normal(0.3, 1.0, 507), rng.random(507) < share
    s, v, w = plain(values, ours)
    path = interval(mixture_blocks(values, ours), 10.0, 0.05)
    assert path.estimate[-1] == pytest.approx(s / w)
    reach = math.sqrt((v + 10) * (math.log((v + 10) / 10) + 2 * math.log(20)))
    assert path.high[-1] - path.estimate[-1] == pytest.approx(reach / w)
    assert path.ours[-1] + path.theirs[-1] == 500 and path.log_evidence[-1] == pytest.approx(
        s * s / (2 * (v + 10)) + 0.5 * math.log(10 / (v + 10))
    )


def test_what_moves_both_arms_at_once_moves_no_difference() -> None:
    """A fall of 5 between two blocks, at any split."""
    rng = np.random.default_rng(3)
    values, ours = rng.normal(0, 1, 400), rng.random(400) < 0.3
    fallen = values - 5.0 * (np.arange(400) >= 200)
    one, other = (interval(mixture_blocks(y, ours), 10.0, 0.05) for y in (values, fallen))
    assert one.estimate == pytest.approx(other.estimate) and one.low == pytest.approx(other.low)


def runs(rng: np.random.Generator, lift: float, icc: float, people: int) -> tuple[Floats, Bools, Floats]:
    """One yes-or-no value a person around .70, and the mean of ten such values before."""
    ours = rng.random(people) < 0.5
    own = rng.normal(0, math.sqrt(0.21 * icc), people)
    past = rng.binomial(10, np.clip(0.7 + own, 0, 1)) / 10
    return (rng.random(people) < np.clip(0.7 + own + lift * ours, 0, 1)).astype(float), ours, past


R = mixing_variance(planned_information(5_000, 0.5, math.sqrt(0.21)), 0.05)


def test_a_false_winner_is_rare_although_every_block_is_a_look() -> None:
    """500 runs of 6,000 people, both directions together at most 5%: 38 or more have a probability below 1%."""
    rng = np.random.default_rng(4)
    found = [interval(mixture_blocks(*runs(rng, 0.0, 0.1, 6_000)), R, 0.05).winner(100) for _ in range(500)]
    assert sum(w != 0 for w in found) < 38 and sum(w > 0 for w in found) < 24


def test_a_lift_is_found_and_a_past_finds_it_sooner() -> None:
    """A lift of .05 where people differ (ICC .3): the median of 100 runs, by people of both arms."""
    rng, sizes = np.random.default_rng(5), []
    for _ in range(100):
        values, ours, past = runs(rng, 0.05, 0.3, 16_000)
        sizes.append(
            [int(np.flatnonzero(interval(mixture_blocks(values, ours, x), R, 0.05).low > 0)[0]) for x in (None, past)]
        )
    plainly, adjusted = np.median(np.array(sizes), axis=0)
    assert adjusted < 0.85 * plainly


def test_people_without_a_past_stay_as_they_are() -> None:
    rng = np.random.default_rng(6)
    values, ours, past = runs(rng, 0.05, 0.3, 2_000)
    nobody = mixture_blocks(values, ours, np.full(2_000, np.nan))
    assert np.array_equal(nobody.gap, mixture_blocks(values, ours).gap)
    half = mixture_blocks(values, ours, np.where(rng.random(2_000) < 0.5, past, np.nan))
    assert mixture_blocks(values, ours, past).spread.mean() < half.spread.mean() < nobody.spread.mean()


def test_nothing_known_is_no_winner_and_no_error() -> None:
    for values, ours in ((np.zeros(0), np.zeros(0, dtype=bool)), (np.full(40, np.nan), np.ones(40, dtype=bool)),
                         (np.ones(400), np.ones(400, dtype=bool)), (np.ones(400), np.arange(400) % 2 == 0)):  # fmt: skip
        path = interval(mixture_blocks(values, ours), 1.0, 0.05)
        assert path.winner(2) == 0


def test_an_arm_that_is_too_small_wins_nothing() -> None:
    values = np.tile([1.0, 0.0], 90) + np.random.default_rng(7).normal(0, 0.01, 180)
    path = interval(mixture_blocks(values, np.arange(180) % 2 == 0), 1.0, 0.05)
    assert path.low[-1] > 0 and path.winner(80) == 1 and path.winner(100) == 0


def test_blocks_survive_their_json() -> None:
    blocks = mixture_blocks(*runs(np.random.default_rng(8), 0.1, 0.1, 400))
    again = MixtureBlocks.from_json(blocks.as_json())
    assert all(np.array_equal(a, b) for a, b in zip(vars(blocks).values(), vars(again).values(), strict=True))


@pytest.mark.parametrize(
    ("share", "sd"), [(0.1, (0.5, 0.25)), (0.1, (0.5, 0.1)), (0.9, (0.5, 0.25)), (0.5, (0.5, 0.1))]
)
def test_arms_that_spread_differently_are_called_different_no_more_often(share: float, sd: tuple[float, float]) -> None:
    """200 tests of 4,000 people without a difference, looked at after every block: at most 5%, and three sd more."""
    rng = np.random.default_rng([4, round(100 * share)])
    r = mixing_variance(planned_information(4_000, share, 0.5), 0.05)
    found = 0
    for _ in range(200):
        ours = rng.random(4_000) < share
        values = rng.normal(0.0, 1.0, 4_000) * np.where(ours, *sd)
        found += interval(mixture_blocks(values, ours), r, 0.05).winner(50) != 0
    assert found <= 19
