"""Clustered intervals: golden numbers, an independent matrix oracle, invariants, and coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from training.engine.intervals.clustered import (
    Interval,
    bell_mccaffrey_dof,
    cluster_statistics,
    clustered_interval,
    effective_n,
    effective_n_for_bar,
    jeffreys_bounds,
    ratio_interval,
    sufficient,
    users_needed,
)

A = np.array([3.0, 1, 4, 1, 5, 9, 2, 6])
B = np.array([2.0, 2, 4, 2, 5, 7, 3, 5])
S = np.array([2.0, 3, 5, 2, 6, 9, 4, 5])
few = settings(max_examples=50, deadline=None)


def people_of(seed: int, users: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    b = rng.uniform(0.5, 5, users)
    return rng.normal(0.4, 1, users) * b, b, rng.uniform(0.5, 5, users) * b


def points(interval: Interval) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high


class TestGoldenNumbers:
    def test_mean(self) -> None:
        interval = clustered_interval(A, B, S)
        assert (interval.low, interval.high) == pytest.approx((0.76913354, 1.29753313), abs=5e-9)
        assert interval.dof == pytest.approx(5.14953152, abs=5e-9)

    def test_ratio(self) -> None:
        interval = ratio_interval(A / 10, B, S)
        assert (interval.low, interval.high) == pytest.approx((0.02698437, 0.26478472), abs=5e-9)

    @pytest.mark.parametrize(("observed", "n"), [(0.0, 18), (0.05, 87), (0.07, 254), (0.08, 585)])
    def test_effective_n_for_an_upper_bound_of_ten_percent(self, observed: float, n: int) -> None:
        assert effective_n_for_bar(observed, 0.10) == n

    def test_kish_size_and_people(self) -> None:
        interval = clustered_interval(A, B, S)
        assert (interval.ess, interval.users) == (30**2 / 36, 8)

    def test_people_needed_for_a_declared_effect(self) -> None:
        plenty = Interval(0.1, 0.0, 0.2, se=0.05, dof=60, ess=500, users=100)
        assert users_needed(plenty, 0.05) == math.ceil(100 * (1.6448536 + 0.8416212) ** 2)
        assert users_needed(plenty, 10.0) == 100  # never fewer than there are
        assert users_needed(clustered_interval(A, B, S), 10.0) == 16  # 8 people, effective size 25 where 50 are needed


class TestFormulas:
    @few
    @given(st.integers(0, 10_000), st.integers(3, 30))
    def test_dof_is_the_trace_ratio_of_the_variance_form(self, seed: int, users: int) -> None:
        """The closed form against tr(Q)^2 / tr(Q^2), Q = W^1/2 (I - h1')' C (I - h1') W^1/2, as matrices."""
        _, b, s = people_of(seed, users)
        h = b / b.sum()
        residual = np.eye(users) - np.outer(h, np.ones(users))
        q = residual.T @ np.diag(1 / (1 - h)) @ residual @ np.diag(s)
        assert bell_mccaffrey_dof(h, s) == pytest.approx(np.trace(q) ** 2 / np.trace(q @ q), rel=1e-9)

    @few
    @given(st.integers(0, 10_000), st.integers(2, 30))
    def test_equal_users_give_the_students_interval_of_a_mean(self, seed: int, users: int) -> None:
        a = np.random.default_rng(seed).normal(size=users)
        interval = clustered_interval(a, np.ones(users), np.ones(users))
        expected = stats.t.interval(0.95, users - 1, a.mean(), stats.sem(a))
        assert (interval.low, interval.high) == pytest.approx(expected)

    def test_vectorised_over_leading_axes(self) -> None:
        many = cluster_statistics(np.stack([A, A / 10]), np.stack([B, B]), np.stack([S, S]))
        assert many.se == pytest.approx([clustered_interval(A, B, S).se, clustered_interval(A / 10, B, S).se])

    def test_effective_n_is_a_binomial_n_at_its_own_standard_error(self) -> None:
        assert effective_n(0.2, math.sqrt(0.16 / 90), math.inf) == pytest.approx(90)
        assert effective_n(0.2, math.sqrt(0.16 / 90), 5) < 90

    def test_jeffreys_bounds_are_beta_quantiles_with_closed_ends(self) -> None:
        assert jeffreys_bounds(0.3, 20) == pytest.approx(tuple(stats.beta.ppf([0.025, 0.975], 6.5, 14.5)))
        assert jeffreys_bounds(0.0, 20)[0] == 0.0
        assert jeffreys_bounds(1.0, 20)[1] == 1.0
        assert jeffreys_bounds(0.3, 20, tails="upper")[0] == 0.0


class TestInvariants:
    @few
    @given(st.integers(0, 10_000), st.floats(0.01, 100), st.floats(-5, 5))
    def test_moves_with_the_outcomes(self, seed: int, scale: float, shift: float) -> None:
        """A -> scale A + shift B moves every number of the interval the same way; B's unit does not matter."""
        a, b, s = people_of(seed, 12)
        plain, moved = clustered_interval(a, b, s), clustered_interval(scale * a + shift * b, b, s)
        for one, other in zip(points(plain), points(moved), strict=True):
            assert other == pytest.approx(scale * one + shift, abs=1e-7 * (scale + 1))

    @few
    @given(st.integers(0, 10_000))
    def test_order_of_people_and_people_without_decisions_do_not_matter(self, seed: int) -> None:
        a, b, s = people_of(seed, 9)
        order = np.random.default_rng(seed).permutation(9)
        plain = clustered_interval(a, b, s)
        other = clustered_interval(np.append(a[order], 0), np.append(b[order], 0), np.append(s[order], 0))
        assert (other.low, other.high, other.dof) == pytest.approx((plain.low, plain.high, plain.dof))

    @few
    @given(st.integers(0, 10_000), st.floats(0.75, 0.99))
    def test_one_sided_bounds_are_those_of_the_two_sided_interval_at_twice_the_error(
        self, seed: int, level: float
    ) -> None:
        a, b, s = people_of(seed, 9)
        two = clustered_interval(a, b, s, level=2 * level - 1)
        lower = clustered_interval(a, b, s, level=level, tails="lower")
        upper = clustered_interval(a, b, s, level=level, tails="upper")
        assert (lower.high, upper.low) == (math.inf, -math.inf)
        assert (lower.low, upper.high) == pytest.approx((two.low, two.high))

    @few
    @given(st.integers(0, 10_000))
    def test_a_share_stays_in_the_unit_interval_around_its_estimate(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        b = rng.integers(0, 20, 15).astype(float)
        a = rng.binomial(b.astype(int), 0.1).astype(float)
        interval = ratio_interval(a, b, b)
        assert 0 <= interval.low <= interval.estimate <= interval.high <= 1


class TestTooLittle:
    def test_nobody_one_person_and_no_decisions_know_nothing(self) -> None:
        for a, b in (([], []), ([1.0], [1.0]), ([0.0, 0.0], [0.0, 0.0])):
            interval = clustered_interval(a, b, b)
            assert (interval.low, interval.high, interval.dof) == (-math.inf, math.inf, 0)
            assert ratio_interval(a, b, b).high - ratio_interval(a, b, b).low == 1
            assert not sufficient(interval).ok

    def test_numerators_without_a_denominator_have_no_ratio(self) -> None:
        found = cluster_statistics(np.array([1.0, 2.0]), np.zeros(2), np.zeros(2))
        assert math.isnan(found.estimate) and found.dof == 0

    def test_an_observed_zero_is_not_certainty(self) -> None:
        """No harmful answer in 60 opportunities: the bound is the Beta(.5, 60.5) quantile, 3.1% one-sided."""
        interval = ratio_interval(np.zeros(60), np.ones(60), np.ones(60), tails="upper")
        assert interval.high == pytest.approx(stats.beta.ppf(0.95, 0.5, 60.5))

    def test_effective_size_and_dof_are_both_required(self) -> None:
        good = Interval(0.1, 0.0, 0.2, se=0.05, dof=8, ess=50, users=40)
        assert sufficient(good).ok
        small = sufficient(Interval(0.1, 0.0, 0.2, se=0.05, dof=4, ess=20, users=40))
        assert not small.ok
        assert small.users_needed == 100
        assert "20" in small.reason and "4" in small.reason

    @pytest.mark.parametrize(
        "arguments",
        [([1, 2], [1], [1, 2]), ([1, math.nan], [1, 1], [1, 1]), ([1, 2], [1, -1], [1, 1]), ([[1]], [[1]], [[1]])],
    )
    def test_refuses_arrays_that_do_not_fit(self, arguments: tuple[list[float], ...]) -> None:
        with pytest.raises(ValueError):
            clustered_interval(*arguments)


REPLICATIONS = 3_000
FALSE_ALARM = 1e-4  # of each coverage test on fresh seeds, if the true coverage is the one named there


def lowest_honest(coverage: float) -> float:
    """The share of covering intervals that a method of true ``coverage`` falls short of with probability 1e-4."""
    return float(stats.binom.ppf(FALSE_ALARM, REPLICATIONS, coverage) / REPLICATIONS)


def logged_people(rng: np.random.Generator, users: int = 40, decisions: int = 25) -> tuple[np.ndarray, ...]:
    """Weighted outcomes of a policy that intervenes on half the states, logged at .3: (replications, users, decisions).

    Outcomes share a person's level (intraclass correlation about .2). The value of the policy is .55 by construction.
    """
    shape = (REPLICATIONS, users, decisions)
    level = rng.normal(0, 0.1, (REPLICATIONS, users, 1))
    wants, acted = rng.random(shape) < 0.5, rng.random(shape) < 0.3
    weight = np.where(wants == acted, 1 / np.where(acted, 0.3, 0.7), 0.0)
    outcome = 0.5 + level + 0.1 * (wants & acted) + 0.2 * rng.standard_normal(shape)
    return weight, outcome


class TestCoverageAtFortyPeople:
    def coverage(self, a: np.ndarray, b: np.ndarray, s: np.ndarray, truth: float) -> float:
        found = cluster_statistics(a, b, s)
        return float(np.mean(np.abs(found.estimate - truth) <= stats.t.ppf(0.975, found.dof) * found.se))

    def test_ips_and_snips_cover(self) -> None:
        weight, outcome = logged_people(np.random.default_rng(11))
        a, s = (weight * outcome).sum(-1), (weight**2).sum(-1)
        for b in (np.full(a.shape, 25.0), weight.sum(-1)):
            assert self.coverage(a, b, s, 0.55) >= lowest_honest(0.94)
        b = weight.sum(-1)

    def test_the_paired_difference_from_the_logging_policy_covers(self) -> None:
        """The log acts at .3 everywhere, worth .515; the paired gain of the policy is .035."""
        weight, outcome = logged_people(np.random.default_rng(14))
        a, s = ((weight - 1) * outcome).sum(-1), ((weight - 1) ** 2).sum(-1)
        assert self.coverage(a, np.full(a.shape, 25.0), s, 0.035) >= lowest_honest(0.94)

    def test_few_heavy_people_cover_while_cr0_with_z_fails_the_same_bar(self) -> None:
        """Twelve people, three of whom made most decisions: what the corrections are for."""
        rng = np.random.default_rng(12)
        b = np.broadcast_to(np.repeat([20.0, 4.0], [3, 9]), (REPLICATIONS, 12))
        a = b * 0.3 + np.sqrt(b) * rng.standard_normal(b.shape)
        theta = (a.sum(-1) / b.sum(-1))[:, None]
        cr0 = np.sqrt(((a - theta * b) ** 2).sum(-1)) / b.sum(-1)
        bar = lowest_honest(0.93)
        assert self.coverage(a, b, b, 0.3) >= bar
        assert np.mean(np.abs(theta[:, 0] - 0.3) <= 1.96 * cr0) < bar

    def test_a_ratio_of_a_rare_label_covers(self) -> None:
        """Harmful answers at 8%, correlated within a person, 25 opportunities each."""
        rng = np.random.default_rng(13)
        rate = rng.beta(2, 23, (REPLICATIONS, 40))
        a, b = rng.binomial(25, rate).astype(float), np.full((REPLICATIONS, 40), 25.0)
        found = [ratio_interval(a[i], b[i], b[i]) for i in range(REPLICATIONS)]
        assert np.mean([i.low <= 0.08 <= i.high for i in found]) >= lowest_honest(0.94)
