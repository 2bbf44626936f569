"""The exact interval of a share: equal to the quantiles that define it, and honest however few trials there are."""

from __future__ import annotations

import pytest
from scipy import stats

from training.engine.intervals.binomial import clopper_pearson


@pytest.mark.parametrize(("hits", "trials"), [(0, 5), (5, 5), (7, 8), (1, 2), (3, 40), (950, 1_000)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_it_is_the_beta_quantiles(hits: int, trials: int, level: float) -> None:
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, hits, trials - hits + 1) if hits else 0.0
    high = stats.beta.ppf(1 - tail, hits + 1, trials - hits) if hits < trials else 1.0
    assert clopper_pearson(hits, trials, level=level) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("truth", [0.02, 0.5, 0.9])
def test_it_covers_the_truth_at_least_as_often_as_it_says(truth: float) -> None:
    spans = [clopper_pearson(k, 12) for k in range(13)]
    covered = sum(stats.binom.pmf(k, 12, truth) for k, (low, high) in enumerate(spans) if low <= truth <= high)
    assert covered >= 0.95


def test_without_a_trial_nothing_is_known() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_more_hits_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="9 of 8"):
        clopper_pearson(9, 8)
