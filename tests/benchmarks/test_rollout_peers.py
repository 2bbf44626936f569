"""The rules of other tools are theirs: the published half-width, checks in a row, and a t-test at each day."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.rollout_peers import _RULES, _growthbook, _sums, peers
from benchmarks.streams import BASES, DAY, Stream, arms_of, values_of


def drawn(fault=None, seed=1):
    rng = np.random.default_rng(seed)
    stream = Stream("empathy", fault)
    ours = arms_of(stream, rng, 20, 1_000)
    return values_of(stream, rng, ours), ours


@pytest.mark.parametrize(("alpha", "tuning"), [(0.05, 5_000), (0.05 / 3, 1_500)])
def test_the_confidence_sequence_is_the_published_one(alpha, tuning):
    """Half-width sqrt(s2 2 (n rho^2 + 1) / (n rho)^2 ln(1 + sqrt(n rho^2 + 1) / (2 alpha))), n of both arms, s2 = n se^2."""
    values, ours = drawn(0.6)
    found = _growthbook(alpha, tuning)("empathy", _sums(values, ours))
    rho = math.sqrt((-2 * math.log(2 * alpha) + math.log(-2 * math.log(2 * alpha) + 1)) / tuning)
    for run in range(20):
        for day in range(10):
            n = (day + 1) * DAY
            a, b = values[run, :n][ours[run, :n]], values[run, :n][~ours[run, :n]]
            s2 = n * (a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
            half = math.sqrt(
                s2 * 2 * (n * rho**2 + 1) / (n * rho) ** 2 * math.log(1 + math.sqrt(n * rho**2 + 1) / (2 * alpha))
            )
            assert found[run, day] == (b.mean() - a.mean() > half)


def test_the_daily_test_is_that_of_welch():
    values, ours = drawn(0.66)
    found = _RULES["daily t-test"]("empathy", _sums(values, ours))
    for run in range(20):
        a, b = values[run][ours[run]], values[run][~ours[run]]
        assert found[run, -1] == (stats.ttest_ind(a, b, equal_var=False, alternative="less").pvalue < 0.05)


def test_thresholds_need_three_checks_in_a_row():
    values, ours = drawn(0.3)
    found = _RULES["fixed thresholds"]("empathy", _sums(values, ours))
    assert not found[:, :2].any() and found[:, 2:].all()


def test_streams_live_what_they_say():
    rng = np.random.default_rng(3)
    for metric, base in BASES.items():
        ours = arms_of(Stream(metric), rng, 50, 2_000)
        values = values_of(Stream(metric, base / 2, onset=1_000), rng, ours)
        early, late = values[:, :1_000][ours[:, :1_000]], values[:, 1_000:][ours[:, 1_000:]]
        for found, mean in ((early, base), (late, base / 2), (values[~ours], base)):  # five standard errors
            assert found.mean() == pytest.approx(mean, abs=5 * values.std() / math.sqrt(len(found)) + 0.002)
        assert ours.mean() == pytest.approx(0.1, abs=0.01)
    ramped = arms_of(Stream("harm", ramp=1_000), rng, 50, 2_000)
    assert ramped[:, 1_000:].mean() == pytest.approx(0.5, abs=0.02)


def test_every_rule_judges_the_same_people():
    rows = peers((4, 40, 1))
    assert {r["rule"] for r in rows} == {*_RULES, "bets"} and all(r["taken_back"] == 40 for r in rows)
    assert all(r["taken_back"] <= 1 for r in peers((0, 40, 1)) if r["rule"] == "bets")
