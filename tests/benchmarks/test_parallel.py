"""Exact bounds of shares, and tasks spread over processes in order."""

import pytest

from benchmarks.parallel import lower_bound, spread, upper_bound


def test_bounds_are_those_of_clopper_and_pearson():
    assert upper_bound(0, 100) == pytest.approx(0.02951, abs=1e-5)  # 1 - .05^(1/100)
    assert upper_bound(0, 300) < 0.01
    assert upper_bound(5, 5) == 1.0
    assert lower_bound(0, 50) == 0.0
    assert lower_bound(20, 20) == pytest.approx(0.05 ** (1 / 20))


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_tasks(processes):
    assert list(spread(abs, [-3, 2, -1], processes)) == [3, 2, 1]
