"""One look at the end of a stage: Welch's bounds, what a past saves, and no bound where nothing can be known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from core.arrays import Floats
from deployments.engine.evidence.fixed_time import (
    Comparison,
    RewardMoments,
    ValueMoments,
    compare_arms,
    compare_rewards,
    compare_with_bar,
)


def of(candidate: Floats, stable: Floats, factor: float = 1.0, **options: object) -> Comparison:
    return compare_arms(ValueMoments.of(candidate), ValueMoments.of(stable), factor, **options)  # type: ignore[arg-type]


def test_bounds_are_those_of_welch() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.7, 0.1, 12), rng.normal(0.8, 0.3, 45)
    found = of(a, b, 0.9)
    assert found.estimate == pytest.approx(a.mean() - 0.9 * b.mean())
    assert found.is_above(0.0) == (stats.ttest_ind(a, 0.9 * b, equal_var=False, alternative="greater").pvalue < 0.05)
    ends = stats.ttest_ind(a, 0.9 * b, equal_var=False).confidence_interval(0.90)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


def test_a_bound_is_wrong_as_often_as_it_says() -> None:
    """4,000 pairs of arms of 40 and 360 people that keep exactly nine tenths: 5% pass, give or take four standard errors."""
    rng, passed = np.random.default_rng(2), 0
    for _ in range(4_000):
        candidate, stable = rng.normal(0.63, 0.12, 40), rng.normal(0.70, 0.12, 360)
        passed += of(candidate, stable, 0.9).is_above(0.0)
    assert passed / 4_000 == pytest.approx(0.05, abs=4 * 0.0035)


@pytest.mark.parametrize(
    ("candidate", "stable"),
    [
        ([], []), ([], [0.5] * 9), ([0.5], [0.1, 0.9]), ([0.3, 0.8], []), ([np.nan] * 9, [0.2, 0.4]),
        ([0.5] * 9, [0.5] * 9), ([np.inf, 0.1], [0.2, 0.3]), ([1e200, -1e200, 0.0], [0.2, 0.3]),
    ],
)  # fmt: skip
def test_what_cannot_be_known_is_insufficient_and_no_error(candidate: list[float], stable: list[float]) -> None:
    found = of(np.array(candidate), np.array(stable))
    assert not found.sufficient and not found.is_above(-1e9) and not found.is_below(1e9)
    reward = compare_rewards(
        RewardMoments.of(np.array(candidate), np.full(len(candidate), np.nan)),
        RewardMoments.of(np.array(stable), np.full(len(stable), np.nan)),
    )
    assert not reward.sufficient


def test_shares_of_people_who_are_all_alike_have_a_bound_that_narrows_with_their_number() -> None:
    """Nobody of the candidate's was harmed: at most .10 is proven by 40 people and not by 8."""
    few, many = (compare_with_bar(ValueMoments.of(np.zeros(n)), 0.10, values="share") for n in (8, 40))
    assert few.high is not None and few.high > 0.0
    assert many.is_below(0.0) and many.estimate == -0.10


def test_one_wild_person_widens_the_bounds() -> None:
    rng = np.random.default_rng(3)
    usual, stable = rng.normal(1, 0.1, 50), rng.normal(0, 0.1, 50)
    assert of(usual, stable).is_above(0.0) and not of(np.append(usual, 200.0), stable).is_above(0.0)


def rewards(rng: np.random.Generator, people: int, mean: float, known: float = 1.0) -> tuple[Floats, Floats]:
    own = rng.normal(0, 0.25, people)
    past = np.where(rng.random(people) < known, own + rng.normal(0, 0.16, people), np.nan)
    return mean + own + rng.normal(0, 0.22, people), past


def test_the_adjustment_is_that_of_regression() -> None:
    """Everybody has a past: the slope pooled within arms, as least squares with one constant for each arm find it."""
    rng = np.random.default_rng(4)
    (y, x), (z, w) = rewards(rng, 80, 0.5), rewards(rng, 300, 0.4)
    table = np.stack([np.r_[np.ones(80), np.zeros(300)], np.r_[np.zeros(80), np.ones(300)], np.r_[x, w]], axis=1)
    fit = np.linalg.lstsq(table, np.r_[y, z], rcond=None)[0]
    found = compare_rewards(RewardMoments.of(y, x), RewardMoments.of(z, w))
    assert found.estimate == pytest.approx(fit[0] - fit[1])


@pytest.mark.parametrize("known", [1.0, 0.6])
def test_a_past_narrows_the_bounds_and_stays_honest(known: float) -> None:
    """2,000 runs without a difference: 5% of the lower bounds exceed 0, also where a part of the people has no past."""
    rng, above, widths = np.random.default_rng(5), 0, []
    for _ in range(2_000):
        a, b = rewards(rng, 60, 0.5, known), rewards(rng, 240, 0.5, known)
        found = compare_rewards(RewardMoments.of(*a), RewardMoments.of(*b))
        above += found.is_above(0.0)
        plain = of(a[0], b[0])
        widths.append((found.high - found.low) / (plain.high - plain.low))  # type: ignore[operator]
    assert above / 2_000 == pytest.approx(0.05, abs=4 * 0.0049)
    assert np.mean(widths) < (0.85 if known == 1.0 else 0.95)


def test_few_pasts_adjust_nothing() -> None:
    rng = np.random.default_rng(6)
    (y, x), (z, w) = rewards(rng, 60, 0.5), rewards(rng, 60, 0.5)
    x[9:], w[9:] = np.nan, np.nan
    assert compare_rewards(RewardMoments.of(y, x), RewardMoments.of(z, w)).estimate == pytest.approx(
        y.mean() - z.mean()
    )


def test_moments_survive_their_json() -> None:
    rng = np.random.default_rng(7)
    for values in (rng.normal(0, 1, 9), np.zeros(0), np.array([np.inf, 1.0])):
        moments = ValueMoments.of(values)
        assert repr(ValueMoments.from_json(json.loads(json.dumps(moments.as_json())))) == repr(moments)
        both = RewardMoments.of(values, values)
        assert repr(RewardMoments.from_json(json.loads(json.dumps(both.as_json())))) == repr(both)
