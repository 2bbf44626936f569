"""The interval of a mean over rows, with people as its unit."""

from __future__ import annotations

import numpy as np
import pytest

from loops.engine.rows.assignment_interval import (
    MEANS_SHARE,
    REGIONS_SHARE,
    SPREAD_SHARE,
    level_each,
    rare_bound,
    rows_interval,
    student_quantile,
)

ROWS = np.full(40, 5.0)


def test_a_mean_lies_within_its_interval_and_more_so_at_a_higher_level() -> None:
    sums = np.random.default_rng(1).normal(5, 2, 40)
    mean, low, high = rows_interval(ROWS, sums, 0.0, 0.0, 0.95)
    _, wider, _ = rows_interval(ROWS, sums, 0.0, 0.0, 0.999)
    assert low is not None and high is not None and wider is not None
    assert wider < low < mean < high and mean == pytest.approx(sums.sum() / 200)


def test_it_is_never_narrower_than_right_propensities_imply() -> None:
    _, low, high = rows_interval(ROWS, ROWS, 0.0, 200.0, 0.95)
    assert low is not None and high is not None
    assert (high - low) / 2 == pytest.approx(student_quantile(39, 0.95) / np.sqrt(200))


def test_few_people_have_no_interval() -> None:
    assert rows_interval(np.ones(8), np.ones(8), 0.0, 1.0, 0.95) == (1.0, None, None)


def test_the_checks_of_a_file_share_one_level() -> None:
    assert MEANS_SHARE + REGIONS_SHARE + SPREAD_SHARE == 1
    assert level_each(1 / 2, 10) == pytest.approx(1 - 0.05 / 20)


@pytest.mark.parametrize(("count", "upper"), [(0, 3.689), (3, 8.767)])
def test_the_bound_of_rare_events_is_that_of_a_poisson_count(count: int, upper: float) -> None:
    """Exact 95% limits of Garwood (1936), from 0 at 97.5%. With one more event as the weight the gamma interval reaches them."""
    assert rare_bound(count, count, 1.0, 0.95) == pytest.approx(upper, rel=0.001)
