"""Evidence of deployments, number by number from the formulas of its modules, and the constants that its error rates hold for."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import timedelta
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from core.arrays import Bools, Floats
from deployments.engine import arm_assignment
from deployments.engine.evidence import (
    e_process,
    fixed_time,
    joint_blocks,
    normal_mixture,
    restarts,
    sample_ratio,
    slow_minutes,
    stakes,
)
from deployments.engine.evidence.e_process import (
    bounds,
    log_evidence_above,
    log_evidence_below,
    mean_radius,
    strongest_above,
    strongest_below,
)
from deployments.engine.evidence.fixed_time import (
    Comparison,
    RewardMoments,
    ValueMoments,
    compare_arms,
    compare_rewards,
    compare_with_bar,
)
from deployments.engine.evidence.joint_blocks import (
    EQUAL,
    JointBlocks,
    NullHypothesis,
    log_average,
    log_factors,
    log_joint_path,
    log_wager_path,
    wager_factors,
)
from deployments.engine.evidence.normal_mixture import (
    MixtureBlocks,
    MixturePath,
    boundary,
    interval,
    log_mixture,
    mixing_variance,
    mixture_blocks,
    planned_information,
)
from deployments.engine.evidence.person_weeks import PersonWeeks, TestSample, hash_of
from deployments.engine.evidence.restarts import log_minutes_share, log_rotating_share, log_share
from deployments.engine.evidence.rotation import first_blocks, log_rotating_path, strongest_start
from deployments.engine.evidence.sample_ratio import log_bayes_factor, ratio_is_off
from deployments.engine.evidence.slow_minutes import MinuteShares, SlowMinutes, log_slower_path, starts_of
from deployments.engine.evidence.stakes import Stakes

# False alarms and power were measured with these; a change needs them measured again.
CONSTANTS: list[tuple[ModuleType, str, object]] = [
    (e_process, "FRACTIONS", (0.05, 0.1, 0.2, 0.4, 0.8)),
    (e_process, "_GRID", 201),
    (fixed_time, "BOUND_LEVEL", 0.95),
    (fixed_time, "LEAST_WITH_PAST", 20),
    (fixed_time, "_NOTHING", 1e-12),
    (joint_blocks, "BLOCK", 20),
    (joint_blocks, "_LARGEST_LOSS", 0.95),
    (normal_mixture, "_PRIOR", 5.0),
    (restarts, "TILES", (("1 week", 1), ("2 weeks", 2), ("4 weeks", 4))),
    (restarts, "SPAN", 4),
    (restarts, "FIRST_DAY", 0.05),
    (restarts, "_RUN", 0.30),
    (restarts, "_TWO_WEEKS", 0.10),
    (restarts, "_FOUR_WEEKS", 0.30),
    (restarts, "_LATER", {1: (0.125, 26), 4: (0.125, 7)}),
    (restarts, "_TAIL", 0.1),
    (restarts, "_STAGED_FIRST", {1: 0.35, 2: 0.05, 4: 0.05}),
    (restarts, "_STAGED", {1: (0.10, 0.05), 2: (), 4: (0.05, 0.05)}),
    (restarts, "_FIRST_MINUTES", 0.75),
    (restarts, "_LATER_MINUTES", 0.125),
    (restarts, "ROTATING", 0.95),
    (restarts, "_ROTATING_RUN", 0.5),
    (restarts, "_ROTATING_EVEN", 26),
    (sample_ratio, "ALARM", 1_000.0),
    (sample_ratio, "PRIOR_PEOPLE", 100.0),
    (slow_minutes, "SLOWER", 0.005),
    (slow_minutes, "_LARGEST_LOSS", 0.95),
    (
        stakes,
        "EMPATHY_BETS",
        (
            Stakes((0.7, 1.5, 3.0, 6.0), (0.25,) * 4, 0.75, True, 20.0, None),
            Stakes((0.75, 1.5, 3.0, 6.0), (0.25,) * 4, 0.5, True, 20.0, 0.5),
        ),
    ),
    (
        stakes,
        "FALSE_INTERVENTION_BETS",
        (
            Stakes((0.3, 0.6, 1.2, 4.0), (0.15, 0.35, 0.35, 0.15), 0.1, False, 20.0, None),
            Stakes((0.24, 0.48, 1.6, 3.2), (0.15, 0.35, 0.35, 0.15), 0.25, False, 20.0, 0.4),
        ),
    ),
    (stakes, "ANSWERED_BET", Stakes((0.5, 1.0, 2.0, 4.0), (0.25,) * 4, 0.5, True, 20.0, None)),
    (stakes, "NOT_GOOD_BET", Stakes((0.5, 1.0, 2.0, 4.0), (0.25,) * 4, 0.5, False, 20.0, None)),
    (stakes, "LATENCY_BET", Stakes((2.0, 4.0, 6.0), (1 / 3,) * 3, 0.005, False, 200.0, None)),
    (arm_assignment, "EPOCH", timedelta(days=7)),
]


@pytest.mark.parametrize(
    ("module", "name", "value"), [pytest.param(*c, id=f"{c[0].__name__.split('.')[-1]}.{c[1]}") for c in CONSTANTS]
)
def test_a_constant_has_the_value_that_error_rates_were_measured_with(
    module: ModuleType, name: str, value: object
) -> None:
    assert getattr(module, name) == value


# One mean


VALUES = np.array([0.2, 0.9, 0.5, 0.7])


@pytest.mark.parametrize("mean", [0.3, 0.75])
def test_evidence_of_one_mean_is_an_average_of_products(mean: float) -> None:
    """1 + a (m - y) over people, for stakes a of .05 to .8 of the largest one that cannot lose everything."""
    parts = (0.05, 0.1, 0.2, 0.4, 0.8)
    below = np.mean([np.prod([1 + f / (1 - mean) * (mean - y) for y in VALUES]) for f in parts])
    above = np.mean([np.prod([1 + f / mean * (y - mean) for y in VALUES]) for f in parts])
    assert float(log_evidence_below(VALUES, mean)) == pytest.approx(math.log(below))
    assert float(log_evidence_above(VALUES, mean)) == pytest.approx(math.log(above))
    both = np.stack([VALUES, VALUES[::-1] / 2])
    assert log_evidence_below(both, mean)[0] == pytest.approx(math.log(below)), "of each row its own"


def test_the_strongest_test_counts_with_its_share() -> None:
    tests = [(VALUES, -1.0), (VALUES[:1], 0.5), (np.zeros(0), -3.0)]
    for strongest, single in ((strongest_below, log_evidence_below), (strongest_above, log_evidence_above)):
        expected = max(float(single(values, 0.4)) + share for values, share in tests)
        assert strongest(tests, 0.4) == pytest.approx(expected)
        assert strongest([], 0.4) == -math.inf


@pytest.mark.parametrize("values", [np.full(60, 0.1), np.full(60, 0.9), np.tile([0.4, 0.6], 40)])
def test_bounds_are_the_ends_of_what_no_test_refutes_on_a_grid_of_half_percents(values: Floats) -> None:
    grid, bar = np.arange(1, 200) / 200, math.log(100)
    low, high = bounds([(values, 0.0)], 0.01)
    refuted = [m for m in grid if strongest_above([(values, 0.0)], m) >= bar]
    assert low == pytest.approx(max(refuted, default=0.0))
    assert high == pytest.approx(min((m for m in grid if strongest_below([(values, 0.0)], m) >= bar), default=1.0))


@pytest.mark.parametrize(
    ("n", "sd", "alpha", "planned"),
    [(2, 1.0, 0.05, 1), (20, 0.3, 0.005, 50), (200, 2.0, 0.01, 50), (40, 1.0, 0.05, 10)],
)
def test_the_radius_solves_the_mixed_t_test(n: int, sd: float, alpha: float, planned: int) -> None:
    """sqrt(c / (n + c)) (1 - S^2 / ((n + c) V))^(-n/2) = 1 / alpha, with V the sum of squares about the mean tested."""
    prior = planned / (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1))
    radius = mean_radius(n, sd, alpha, planned)
    if math.isinf(radius):
        assert math.sqrt(prior / (n + prior)) * (1 - n / (n + prior)) ** (-n / 2) <= 1 / alpha, "no mean is refuted"
        return
    whole = (n - 1) * sd**2 + n * radius**2
    e = math.sqrt(prior / (n + prior)) * (1 - (n * radius) ** 2 / ((n + prior) * whole)) ** (-n / 2)
    assert e == pytest.approx(1 / alpha)
    assert mean_radius(n, sd, alpha) == mean_radius(n, sd, alpha, 50)


# Arms at a fixed time


def test_moments_are_those_of_the_known_values() -> None:
    found = ValueMoments.of(np.array([0.1, np.nan, 0.4, 0.7]))
    assert (found.n, found.mean, found.variance) == pytest.approx((3, 0.4, 0.09))
    assert found.standard_error == pytest.approx(math.sqrt(0.03))
    one = ValueMoments.of(np.array([0.3]))
    assert (one.n, one.mean) == (1, 0.3) and math.isnan(one.variance)
    assert math.isnan(ValueMoments(1, 0.3, 0.2).standard_error), "of one person none is known, whatever is stored"
    assert ValueMoments(2, 0.3, 0.2).standard_error == pytest.approx(math.sqrt(0.1))
    assert math.isnan(ValueMoments(0).standard_error)


def test_two_people_have_rewards_moments_and_one_has_none() -> None:
    two = RewardMoments.of(np.array([1.0, 3.0, np.nan]), np.array([0.5, np.nan, 9.0]))
    assert two.n == 2 and two.means == pytest.approx((2.0, 0.25, 0.5))
    np.testing.assert_allclose(two.covariances, [[2.0, -0.5, -1.0], [-0.5, 0.125, 0.25], [-1.0, 0.25, 0.5]])
    assert two.plain == ValueMoments(2, 2.0, 2.0)
    one = RewardMoments.of(np.array([1.0]), np.array([0.5]))
    assert one.n == 1 and math.isnan(one.means[0]) and math.isnan(one.plain.variance)


REWARD = np.array([1.0, 0.2, 0.6, -0.4, 0.9, 0.3])
PAST = np.array([0.8, np.nan, 0.4, -0.5, np.nan, 0.1])


def test_adjusted_moments_are_those_of_the_adjusted_values() -> None:
    """Without a past a person stays as they are."""
    found = RewardMoments.of(REWARD, PAST).adjusted(0.7, 0.2)
    values = np.where(np.isnan(PAST), REWARD, REWARD - 0.7 * (PAST - 0.2))
    assert (found.n, found.mean, found.variance) == pytest.approx((6, values.mean(), values.var(ddof=1)))


def test_sums_of_those_with_a_past() -> None:
    has = ~np.isnan(PAST)
    people, past, square, product = RewardMoments.of(REWARD, PAST).of_those_with_past()
    x, y = PAST[has], REWARD[has]
    assert (people, past) == pytest.approx((4, x.sum()))
    assert square == pytest.approx(((x - x.mean()) ** 2).sum())
    assert product == pytest.approx(((x - x.mean()) * (y - y.mean())).sum())
    nobody = RewardMoments.of(REWARD, np.full(6, np.nan))
    assert nobody.of_those_with_past() == (0.0, 0.0, 0.0, 0.0)
    assert RewardMoments(0).of_those_with_past() == (0.0, 0.0, 0.0, 0.0)


def _welch(a: Floats, b: Floats, factor: float, level: float) -> tuple[float, float, float]:
    parts = a.var(ddof=1) / len(a), factor**2 * b.var(ddof=1) / len(b)
    dof = sum(parts) ** 2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    reach = float(stats.t.ppf(level, dof)) * math.sqrt(sum(parts))
    estimate = a.mean() - factor * b.mean()
    return float(estimate), float(estimate - reach), float(estimate + reach)


@pytest.mark.parametrize(("factor", "level"), [(1.0, 0.95), (0.9, 0.9)])
def test_arms_are_compared_by_welchs_bounds(factor: float, level: float) -> None:
    a, b = np.array([0.2, 0.5, 0.9]), np.array([0.1, 0.4, 0.3, 0.6, 0.2])
    found = compare_arms(ValueMoments.of(a), ValueMoments.of(b), factor, level=level)
    assert (found.estimate, found.low, found.high) == pytest.approx(_welch(a, b, factor, level))
    assert (found.factor, found.n_candidate, found.n_stable, found.level) == (factor, 3, 5, level)
    assert (found.candidate, found.stable) == pytest.approx((a.mean(), b.mean()))
    assert compare_arms(ValueMoments.of(a), ValueMoments.of(b)).level == 0.95 and found.sufficient


def test_a_bar_has_no_spread() -> None:
    a = np.array([0.2, 0.5, 0.9])
    found = compare_with_bar(ValueMoments.of(a), 0.4)
    reach = float(stats.t.ppf(0.95, 2)) * math.sqrt(a.var(ddof=1) / 3)
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (a.mean() - 0.4, a.mean() - 0.4 - reach, a.mean() - 0.4 + reach)
    )
    assert found.n_stable == 0 and found.stable == 0.4


@pytest.mark.parametrize(("mean", "far"), [(0.0, 1.0), (0.3, 0.7), (0.8, 0.8), (1.0, 1.0)])
def test_people_who_are_all_alike_have_the_spread_of_one_more_who_is_not(mean: float, far: float) -> None:
    n = 12
    found = compare_with_bar(ValueMoments(n, mean, 0.0), 0.5, values="share")
    values = np.r_[np.full(n, mean), mean - far if mean >= 0.5 else mean + far]
    spread = values.var(ddof=0)
    assert found.low is not None
    assert found.low == pytest.approx(mean - 0.5 - float(stats.t.ppf(0.95, n - 1)) * math.sqrt(spread / n))
    assert not compare_with_bar(ValueMoments(n, mean, 0.0), 0.5).sufficient, "of unbounded values they tell nothing"


@pytest.mark.parametrize("arm", [ValueMoments(12, 1.2, 0.0), ValueMoments(12, -0.2, 0.0), ValueMoments(1, 0.5, 0.0)])
def test_what_is_no_share_or_one_person_has_no_spread(arm: ValueMoments) -> None:
    assert not compare_with_bar(arm, 0.5, values="share").sufficient
    kept = compare_with_bar(ValueMoments(12, 0.5, 0.01), 0.5, values="share")
    assert kept.low == pytest.approx(-float(stats.t.ppf(0.95, 11)) * math.sqrt(0.01 / 12)), (
        "a spread of its own is kept"
    )


def test_one_person_with_a_spread_gives_no_bounds() -> None:
    """Nor does an arm without anybody, unless it is a bar, which has none."""
    known = ValueMoments(9, 0.5, 0.1)
    assert not compare_arms(ValueMoments(1, 0.5, 0.1), known).sufficient
    assert not compare_arms(known, ValueMoments(1, 0.5, 0.1)).sufficient
    assert compare_arms(known, ValueMoments(2, 0.5, 0.1)).sufficient
    assert compare_arms(known, ValueMoments(1, 0.5, 0.0)).sufficient, "a mean that is known exactly"


def test_a_bound_decides_strictly() -> None:
    found = Comparison(1.0, 9, 9, 0.6, 0.5, 0.1, 0.05, 0.2, 0.95)
    assert found.is_above(0.04) and not found.is_above(0.05) and found.is_below(0.21) and not found.is_below(0.2)
    nothing = replace(found, low=None, high=None)
    assert not (nothing.is_above(-9.0) or nothing.is_below(9.0) or nothing.sufficient)


@pytest.mark.parametrize(("with_past", "adjusted"), [(19, False), (20, True)])
def test_from_twenty_people_on_their_past_adjusts_both_arms(with_past: int, adjusted: bool) -> None:
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=14), rng.normal(size=16)
    y, w = x + 0.1 * rng.normal(size=14), z + 0.1 * rng.normal(size=16)
    x[8:] = np.nan
    z[with_past - 8 :] = np.nan
    found = compare_rewards(RewardMoments.of(y, x), RewardMoments.of(w, z), level=0.9)
    square = product = past = 0.0
    for reward, before in ((y, x), (w, z)):
        has = ~np.isnan(before)
        dx, dy = before[has] - before[has].mean(), reward[has] - reward[has].mean()
        square, product, past = square + dx @ dx, product + dx @ dy, past + before[has].sum()
    slope, centre = (product / square, past / with_past) if adjusted else (0.0, 0.0)
    a, b = (np.where(np.isnan(p), r, r - slope * (p - centre)) for r, p in ((y, x), (w, z)))
    assert (found.estimate, found.low, found.high) == pytest.approx(_welch(a, b, 1.0, 0.9))


def test_a_past_that_is_the_same_for_everybody_adjusts_nothing() -> None:
    y, x = np.random.default_rng(2).normal(size=30), np.full(30, 3.0)
    found = compare_rewards(RewardMoments.of(y[:15], x[:15]), RewardMoments.of(y[15:], x[15:]))
    assert found.low == pytest.approx(_welch(y[:15], y[15:], 1.0, 0.95)[1])


def test_a_past_that_explains_everything_leaves_the_plain_bounds() -> None:
    """The adjusted values are all alike and tell nothing, so rewards are compared as they are."""
    x = np.random.default_rng(3).normal(size=30)
    found = compare_rewards(RewardMoments.of(np.r_[x[:15]], x[:15]), RewardMoments.of(x[15:], x[15:]))
    assert found.sufficient


# Joint blocks


def joint(seed: int, blocks: int = 3, share: float = 0.3) -> tuple[Floats, Bools]:
    rng = np.random.default_rng(seed)
    n = blocks * 20 + 7
    return rng.beta(2, 1, n), rng.random(n) < share


def _factors(
    values: Floats, ours: Bools, present: Bools, bet: Stakes, stake: float, null: NullHypothesis
) -> list[float]:
    """The factors of the module's text, person by person."""
    s, out, total, people = (1.0 if bet.higher_is_better else -1.0), [], bet.pseudo * bet.prior, bet.pseudo
    seen = bet.seen(values)
    for block in range(len(values) // 20):
        at = [i for i in range(block * 20, block * 20 + 20) if present[i]]
        n_c, n_s = sum(ours[i] for i in at), sum(not ours[i] for i in at)
        m, n = total / people, max(n_c + n_s, 1)
        target = null.c * m - s * null.d
        worst = max(n_s / n * ((1 - target) if s > 0 else target), n_c / n * null.c * (m if s > 0 else 1 - m), 1e-9)
        bet_on = min(stake, 0.95 / worst)
        factor = 1.0
        for i in at:
            gain = n_s / n * s * (target - seen[i]) if ours[i] else n_c / n * s * null.c * (seen[i] - m)
            factor *= 1 + bet_on * gain
        out.append(math.log(factor))
        counted = at if null.is_equality else [i for i in at if not ours[i]]
        total, people = total + sum(seen[i] for i in counted), people + len(counted)
    return out


@pytest.mark.parametrize("bet", [*stakes.EMPATHY_BETS, *stakes.FALSE_INTERVENTION_BETS])
@pytest.mark.parametrize("null", [EQUAL, NullHypothesis(0.9, 0.0), NullHypothesis(1.0, 0.05)])
@pytest.mark.parametrize("all_present", [True, False])
def test_the_factors_of_blocks_are_those_of_the_text(bet: Stakes, null: NullHypothesis, all_present: bool) -> None:
    values, ours = joint(4)
    present = np.ones(67, bool) if all_present else np.random.default_rng(5).random(67) < 0.8
    blocks = JointBlocks.of(values, ours, None if all_present else present)
    assert blocks.values.shape == (3, 20) and blocks.ours.shape == (3, 20)
    expected = np.array([_factors(values, ours, present, bet, stake, null) for stake in bet.grid])
    np.testing.assert_allclose(log_factors(blocks, bet, null), expected, atol=1e-12)
    path = np.log(np.array(bet.weights) @ np.exp(expected.cumsum(axis=1)))
    np.testing.assert_allclose(log_joint_path(blocks, bet, null), path, atol=1e-12)


def test_an_equality_alone_lets_both_arms_tell_the_centre() -> None:
    assert EQUAL.is_equality and NullHypothesis() == EQUAL
    assert not NullHypothesis(0.9, 0.0).is_equality and not NullHypothesis(1.0, 0.1).is_equality


@pytest.mark.parametrize("arm", [True, False])
def test_a_block_with_one_arm_empty_says_nothing(arm: bool) -> None:
    blocks = JointBlocks.of(np.random.default_rng(6).random(20), np.full(20, arm))
    np.testing.assert_allclose(log_factors(blocks, stakes.EMPATHY_BETS[0]), np.zeros((4, 1)), atol=1e-12)
    nobody = JointBlocks.of(np.zeros(20), np.full(20, arm), np.zeros(20, bool))
    np.testing.assert_allclose(log_factors(nobody, stakes.EMPATHY_BETS[0]), np.zeros((4, 1)), atol=1e-12)


def _wager(seed: int = 7, blocks: int = 4) -> list[tuple[JointBlocks, Stakes]]:
    values, ours = joint(seed, blocks, 0.5)
    return [(JointBlocks.of(values, ours), bet) for bet in stakes.FALSE_INTERVENTION_BETS]


def test_bets_of_a_wager_have_equal_shares() -> None:
    wager = _wager()
    path = log_wager_path(wager)
    parts = [np.exp(log_joint_path(blocks, bet)) for blocks, bet in wager]
    np.testing.assert_allclose(np.exp(path), (parts[0] + parts[1]) / 2)
    shares, factors = wager_factors(wager)
    np.testing.assert_allclose(np.exp(shares), np.r_[np.array((0.15, 0.35, 0.35, 0.15)) / 2].repeat(1).tolist() * 2)
    assert factors.shape == (8, 4)


def test_an_average_of_evidence_does_not_overflow() -> None:
    logs = np.array([[1000.0, -1000.0], [1001.0, -1002.0]])
    expected = [1000 + math.log(0.25 + 0.75 * math.e), -1000 + math.log(0.25 + 0.75 * math.exp(-2))]
    np.testing.assert_allclose(log_average(np.log([0.25, 0.75]), logs), expected)


# Rotation


@pytest.mark.parametrize(("starts", "first"), [([0, 1, 3], 1), ([0, 2], 5)])
def test_a_rotating_mixture_averages_tests_that_start_in_each_week(starts: list[int], first: int) -> None:
    """Before its start a test's evidence is 1, and so is that of all tests of weeks to come; the whole has .95 of the rate."""
    wager = _wager(8, 4)
    shares, factors = wager_factors(wager)
    weights = [math.exp(log_rotating_share(first + i)) for i in range(len(starts))]
    expected, at_end = [], []
    for block in range(4):
        parts = []
        for start, weight in zip(starts, weights, strict=True):
            grown = np.exp(shares) @ np.exp(factors[:, start : block + 1].sum(axis=1)) if block >= start else 1.0
            parts.append(weight * grown)
        later = 1 - sum(math.exp(log_rotating_share(k)) for k in range(1, first + len(starts)))
        expected.append(math.log(0.95 * (sum(parts) + later)))
        at_end = parts
    np.testing.assert_allclose(log_rotating_path(wager, starts, first), expected)
    assert strongest_start(wager, starts, first) == int(np.argmax(at_end))


def test_a_weeks_first_block_lies_wholly_in_it() -> None:
    weeks = np.repeat([1, 2, 3], [20, 25, 20])
    assert first_blocks(weeks, 20, 1, 4) == [0, 1, 3, 4]
    assert first_blocks(weeks, 20, 2, 3) == [1, 3]


# Shares of the rate


@pytest.mark.parametrize(
    ("weeks", "number", "share"),
    [
        (1, 1, 0.30), (2, 1, 0.10), (4, 1, 0.30), (1, 2, 0.125 * 0.9 / 26), (1, 27, 0.125 * 0.9 / 26),
        (1, 28, 0.125 * 0.1 * (1 - 1 / (1 + math.log(2)))),
        (1, 29, 0.125 * 0.1 * (1 / (1 + math.log(2)) - 1 / (1 + math.log(3)))),
        (4, 2, 0.125 * 0.9 / 7), (4, 8, 0.125 * 0.9 / 7), (4, 9, 0.125 * 0.1 * (1 - 1 / (1 + math.log(2)))), (2, 2, 0.0),
    ],
)  # fmt: skip
def test_the_share_of_a_test_of_weeks(weeks: int, number: int, share: float) -> None:
    assert math.exp(log_share(weeks, number)) == pytest.approx(share)


@pytest.mark.parametrize(
    ("number", "share"),
    [(1, 0.5), (2, 0.5 * 0.9 / 26), (27, 0.5 * 0.9 / 26), (28, 0.5 * 0.1 * (1 - 1 / (1 + math.log(2))))],
)
def test_the_share_of_a_week_of_a_rotating_holdback(number: int, share: float) -> None:
    assert math.exp(log_rotating_share(number)) == pytest.approx(share)


@pytest.mark.parametrize(
    ("number", "share"),
    [(1, 0.75), (2, 0.125 * (1 - 1 / (1 + math.log(2)))), (3, 0.125 * (1 / (1 + math.log(2)) - 1 / (1 + math.log(3))))],
)
def test_the_share_of_an_hour_or_a_day(number: int, share: float) -> None:
    assert math.exp(log_minutes_share(number)) == pytest.approx(share)


@pytest.mark.parametrize(
    ("weeks", "first", "closed", "found"),
    [
        (1, 1, 3, [1, 2, 3]),
        (1, 2, 3, [2, 3]),
        (2, 1, 5, [1]),
        (4, 1, 7, [1]),
        (4, 1, 8, [1, 5]),
        (4, 5, 12, [5, 9]),
        (4, 1, 3, []),
    ],
)
def test_a_test_starts_with_each_whole_tile(weeks: int, first: int, closed: int, found: list[int]) -> None:
    tests = restarts.restarts(weeks, first, closed)
    assert [test.week for test in tests] == found
    assert all(test.origin == 1 and test.last == closed for test in tests)
    assert [test.log_share for test in tests] == [log_share(weeks, (week - 1) // weeks + 1) for week in found]


# Person weeks


def test_a_test_of_days_and_its_share() -> None:
    table = PersonWeeks(
        np.array([0, 0, 1]), np.array([5, 2, 5]), np.array([True, False, True]), np.array([2.0, 4.0, 1.0]),
        np.array([[1.0, 0.5], [1.0, 2.0], [0.9, 0.9]]), closed=1,
    )  # fmt: skip
    assert table.days.values.tolist() == [[0.5, 0.25], [0.25, 0.5]] and table.days.weight == pytest.approx(0.05)
    assert table.days.arm(ours=True, column=1).tolist() == [0.25] and table.days.arm(ours=False).tolist() == [0.25]
    assert [s.over for s in table.samples] == ["1 week"] and table.samples[0].weight == pytest.approx(0.30)
    assert TestSample("1 week", np.zeros((1, 1)), np.ones(1, bool), math.log(0.25)).weight == pytest.approx(0.25)


def test_tiles_are_counted_from_their_origin_and_end_with_the_last_week() -> None:
    """Two-week tiles from week 2 on, up to week 6: weeks 2-3 and 4-5. Week 6 begins a tile that is not whole."""
    rows = [(w, p, True, 1.0, 10.0 * w + p) for w in range(1, 8) for p in (1, 2)]
    columns = np.array(rows)
    table = PersonWeeks(
        columns[:, 0].astype(int), columns[:, 1].astype(int), columns[:, 2] > 0, columns[:, 3], columns[:, 4:], closed=7
    )
    tile, person, ours, values = table.in_tiles(2, 2, 6)
    assert tile.tolist() == [0, 0, 1, 1] and ours.all()
    found = dict(zip(zip(tile.tolist(), person.tolist(), strict=True), values[:, 0].tolist(), strict=True))
    assert found == {(0, 1): 26.0, (0, 2): 27.0, (1, 1): 46.0, (1, 2): 47.0}


def test_a_later_test_of_a_long_tile_takes_people_with_their_first_tile_since_it_began() -> None:
    """Twelve weeks: person 1 is always there, person 2 from week 6 on, person 3 in week 2 alone. Values are their weeks."""
    rows = [(w, p) for w in range(1, 13) for p in (1, 2, 3) if p == 1 or (p == 2 and w >= 6) or (p == 3 and w == 2)]
    week, person = (np.array([row[i] for row in rows]) for i in (0, 1))
    ones = np.ones(len(rows))
    table = PersonWeeks(week, person, ones > 0, ones, week[:, None].astype(float), closed=12)
    found = [sorted(s.values[:, 0].tolist()) for s in table.samples if s.over == "4 weeks"]
    assert found == [[2.0, 2.5, 7.0], [6.5, 7.0], [10.5, 10.5]]
    shares = [s.log_weight for s in table.samples if s.over == "4 weeks"]
    assert shares == [log_share(4, number) for number in (1, 2, 3)]
    staged = replace(table, stage_starts=(1, 5)).samples
    assert [sorted(s.values[:, 0].tolist()) for s in staged if s.over == "4 weeks"] == [[2.0, 2.5], *found[1:]], (
        "of a rollout in stages the first test ends with its stage"
    )


def test_the_hash_of_a_person_is_splitmix64() -> None:
    """The first outputs of the published generator, seeded with 0 and 1."""
    assert hash_of(np.array([0, 1])).tolist() == [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1]


# Slow minutes and ratios


MINUTES = SlowMinutes(
    np.array([19.0, 10.0, 0.0, 5.0]), np.array([3.0, 0.0, 0.0, 4.0]), np.array([1.0, 4.0, 2.0, 0.0]),
    np.array([0.0, 1.0, 2.0, 0.0]),
)  # fmt: skip


def test_slow_minutes_are_compared_by_bets_of_each_request() -> None:
    """1 + a (y - m - .005) for ours and 1 + b (m - y) for theirs, each weighed by the other arm's part of the minute."""
    slow, seen, logs = 200 * 0.005, 200.0, np.zeros((3, 4))
    for t in range(4):
        n_c, k_c, n_s, k_s = (
            float(getattr(MINUTES, name)[t]) for name in ("ours", "ours_slow", "theirs", "theirs_slow")
        )
        m, n = slow / seen, max(n_c + n_s, 1)
        cap = 0.95 / max(n_s / n * (m + 0.005), n_c / n * (1 - m), 1e-9)
        for i, stake in enumerate((2.0, 4.0, 6.0)):
            a, b = min(stake, cap) * n_s / n, min(stake, cap) * n_c / n
            logs[i, t] = (
                k_c * math.log(1 + a * (1 - m - 0.005)) + (n_c - k_c) * math.log(1 - a * (m + 0.005))
                + k_s * math.log(1 - b * (1 - m)) + (n_s - k_s) * math.log(1 + b * m)
            )  # fmt: skip
        slow, seen = slow + k_s, seen + n_s
    np.testing.assert_allclose(log_slower_path(MINUTES), np.log(np.exp(logs.cumsum(axis=1)).mean(axis=0)), atol=1e-12)
    assert log_slower_path(MINUTES.since(4)).size == 0


def test_the_excess_is_over_minutes_in_which_both_were_answered() -> None:
    assert MINUTES.excess == pytest.approx(3 / 29 - 1 / 5)
    assert MINUTES.since(2).excess is None


def test_a_test_of_minutes_begins_with_each_day_or_hour() -> None:
    days = replace(MINUTES, starts=(0, 2), first=3)
    assert [(len(part.ours), share) for part, share in days.tests] == [
        (4, log_minutes_share(3)),
        (2, log_minutes_share(4)),
    ]
    hours = MinuteShares(np.arange(5.0), (0, 3), 2)
    assert [(values.tolist(), share) for values, share in hours.tests] == [
        ([0.0, 1.0, 2.0, 3.0, 4.0], log_minutes_share(2)), ([3.0, 4.0], log_minutes_share(3)),
    ]  # fmt: skip
    assert MinuteShares(np.zeros(1)).first == SlowMinutes.of(np.zeros((4, 1))).first == 1
    assert MinuteShares(np.zeros(1)).starts == SlowMinutes.of(np.zeros((4, 1))).starts == (0,)
    built = SlowMinutes.of([[1, 2], [3, 4], [5, 6], [7, 8]], (0, 1), 4)
    assert (built.ours_slow.tolist(), built.theirs_slow.tolist(), built.starts, built.first) == (
        [3, 4],
        [7, 8],
        (0, 1),
        4,
    )
    assert starts_of(np.array([2, 2, 3, 5]), range(2, 6)) == (0, 2, 3, 3)


@pytest.mark.parametrize(("ours", "theirs", "share"), [(7, 3, 0.5), (1, 40, 0.1), (0, 5, 0.3)])
def test_the_bayes_factor_of_a_ratio_is_a_beta_binomial_over_a_binomial(ours: int, theirs: int, share: float) -> None:
    mixed = stats.betabinom.logpmf(ours, ours + theirs, 100 * share, 100 * (1 - share))
    plain = stats.binom.logpmf(ours, ours + theirs, share)
    assert log_bayes_factor(ours, theirs, share) == pytest.approx(mixed - plain)


def test_a_ratio_is_off_from_a_thousand_to_one_on() -> None:
    below = max(k for k in range(500, 1_000) if log_bayes_factor(k, 1_000 - k, 0.5) < math.log(1_000))
    assert not ratio_is_off(below, 1_000 - below, 0.5) and ratio_is_off(below + 1, 999 - below, 0.5)


# Normal mixtures


def test_the_boundary_is_where_the_evidence_reaches_one_over_alpha() -> None:
    variance, r, alpha = np.array([0.0, 3.0, 40.0]), 2.5, 0.01
    reach = boundary(variance, r, alpha)
    np.testing.assert_allclose(reach, np.sqrt((variance + r) * (np.log((variance + r) / r) + 2 * math.log(100))))
    np.testing.assert_allclose(log_mixture(reach, variance, r), np.full(3, math.log(100)))


def test_the_mixing_variance_and_the_planned_information() -> None:
    assert mixing_variance(30.0, 0.05) == pytest.approx(30 / (2 * math.log(20) + math.log(1 + 2 * math.log(20))))
    assert planned_information(400.0, 0.3, 0.5) == pytest.approx(400 * 0.3 * 0.7 * 0.25)


BLOCKS = MixtureBlocks(
    np.array([0, 8, 10]), np.array([20, 12, 10]), np.array([0.0, 0.4, -0.1]), np.array([0.3, 0.2, 0.25])
)


def test_what_is_known_after_each_block() -> None:
    w = [0.0, 8 * 12 / 20, 5.0]
    found = interval(BLOCKS, 2.0, 0.05)
    np.testing.assert_allclose(BLOCKS.weight, w)
    sums, variance = np.cumsum([0.0, w[1] * 0.4, -w[2] * 0.1]), np.cumsum([0.0, w[1] * 0.2, w[2] * 0.25])
    total = np.cumsum(w)
    assert (found.low[0], found.high[0], found.estimate[0]) == (-math.inf, math.inf, 0.0)
    radius = boundary(variance, 2.0, 0.05)[1:] / total[1:]
    np.testing.assert_allclose(found.estimate[1:], sums[1:] / total[1:])
    np.testing.assert_allclose(found.low[1:], sums[1:] / total[1:] - radius)
    np.testing.assert_allclose(found.high[1:], sums[1:] / total[1:] + radius)
    np.testing.assert_allclose(found.log_evidence, log_mixture(sums, variance, 2.0))
    assert found.ours.tolist() == [0, 8, 18] and found.theirs.tolist() == [20, 32, 42]
    assert MixtureBlocks(np.zeros(1, int), np.zeros(1, int), np.zeros(1), np.zeros(1)).weight.tolist() == [0.0]


@pytest.mark.parametrize(
    ("low", "high", "minimum", "winner"),
    [
        ([-1.0, 0.1], [1.0, 0.9], 5, 1),
        ([-1.0, -0.9], [1.0, -0.1], 5, -1),
        ([-1.0, 0.0], [1.0, 0.9], 5, 0),
        ([-1.0, -0.9], [1.0, 0.0], 5, 0),
        ([0.1, -0.9], [0.9, -0.1], 5, 1),  # what was proven first stays
        ([0.1, -0.9], [0.9, -0.1], 6, -1),  # with too few people nothing is proven
        ([0.1, 0.1], [0.9, 0.9], 10, 1),
        ([0.1, 0.1], [0.9, 0.9], 11, 0),
    ],
)
def test_the_winner_is_whoever_was_proven_first_with_enough_people(
    low: list[float], high: list[float], minimum: int, winner: int
) -> None:
    nothing = np.zeros(2)
    path = MixturePath(np.array([5, 10]), np.array([7, 12]), nothing, np.array(low), np.array(high), nothing)
    assert path.winner(minimum) == winner
    assert replace(path, ours=path.theirs, theirs=path.ours).winner(minimum) == winner


def _blocks_by_hand(y: Floats, c: Bools) -> tuple[list[int], list[int], list[float], list[float]]:
    """Gap of means, and (n_s v_c + n_c v_s) / 20 with each arm's variance within blocks so far and five people of both."""
    out: tuple[list[int], list[int], list[float], list[float]] = ([], [], [], [])
    within, freedom = [0.0, 0.0], [0, 0]
    for block in range(len(y) // 20):
        values, ours = y[block * 20 : block * 20 + 20], c[block * 20 : block * 20 + 20]
        arms = [values[ours], values[~ours]]
        for k, arm in enumerate(arms):
            if len(arm):
                within[k] += float(((arm - arm.mean()) ** 2).sum())
            freedom[k] += max(len(arm) - 1, 0)
        both = sum(within) / max(sum(freedom), 1)
        v = [(w + 5 * both) / (f + 5) for w, f in zip(within, freedom, strict=True)]
        n_c, n_s = len(arms[0]), len(arms[1])
        out[0].append(n_c)
        out[1].append(n_s)
        out[2].append(float(arms[0].mean() - arms[1].mean()) if n_c and n_s else 0.0)
        out[3].append((n_s * v[0] + n_c * v[1]) / 20)
    return out


def _are_alike(found: MixtureBlocks, expected: tuple[list[int], list[int], list[float], list[float]]) -> None:
    assert (found.ours.tolist(), found.theirs.tolist()) == expected[:2]
    np.testing.assert_allclose(found.gap, expected[2])
    np.testing.assert_allclose(found.spread, expected[3])


def _mixed_people(seed: int = 9) -> tuple[Floats, Bools, Floats]:
    rng = np.random.default_rng(seed)
    past = rng.normal(size=75)
    y = 0.8 * past + rng.normal(size=75) * 0.3
    past[rng.random(75) < 0.3] = np.nan
    c = rng.random(75) < 0.4
    c[:20] = False  # a first block without the candidate
    return y, c, past


def test_blocks_hold_the_difference_of_their_means_and_its_spread() -> None:
    y, c, _ = _mixed_people()
    found = mixture_blocks(y, c)
    _are_alike(found, _blocks_by_hand(y, c))
    holes = y.copy()
    holes[[3, 40]] = np.nan
    known = ~np.isnan(holes)
    np.testing.assert_allclose(mixture_blocks(holes, c).gap, _blocks_by_hand(y[known], c[known])[2])
    empty = mixture_blocks(y[:19], c[:19], np.full(19, np.nan))
    assert len(empty.gap) == 0


def test_the_past_adjusts_by_earlier_blocks_alone() -> None:
    """Slope: products over squares within arms of earlier blocks, times k / (k + 1); centre: the mean past of all so far."""
    y, c, past = _mixed_people()
    has, adjusted = ~np.isnan(past), y.copy()
    square = product = 0.0
    for block in range(3):
        at = np.arange(block * 20, block * 20 + 20)
        so_far = past[: block * 20 + 20]
        centre = float(np.nanmean(so_far))
        slope = (product / square if square else 0.0) * block / (block + 1)
        mine = at[has[at]]
        adjusted[mine] = y[mine] - slope * (past[mine] - centre)
        for arm in (True, False):
            x, z = past[mine[c[mine] == arm]], y[mine[c[mine] == arm]]
            if len(x):
                square += float(((x - x.mean()) ** 2).sum())
                product += float(((x - x.mean()) * (z - z.mean())).sum())
    found = mixture_blocks(y, c, past)
    _are_alike(found, _blocks_by_hand(adjusted, c))


def test_blocks_survive_their_json() -> None:
    again = MixtureBlocks.from_json(json.loads(json.dumps(BLOCKS.as_json())))
    for name in ("ours", "theirs", "gap", "spread"):
        np.testing.assert_array_equal(getattr(again, name), getattr(BLOCKS, name))
