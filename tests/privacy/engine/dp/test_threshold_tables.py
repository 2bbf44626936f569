"""Tables of noise: whole, symmetric, as rare at the ends as they should be, and never above their epsilon."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from privacy.engine.dp.threshold_tables import (
    THRESHOLD_STEPS,
    THRESHOLD_WHOLE,
    category_ratio,
    category_table,
    float_above,
    geometric_table,
    log_above,
    noise_sd,
    noise_table,
    number_ratio,
    table_epsilon_of_category,
    table_epsilon_of_number,
)

EPSILONS = [1e-3, 0.5, 1.0, 8.0, 30.0]


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_noise_is_whole_symmetric_and_geometric(epsilon: float) -> None:
    """P(k) = (1 - r) / (1 + r) r^|k| for r = e^(-epsilon / 256); the ends hold all that lies beyond."""
    table = geometric_table(Fraction(epsilon))
    assert sum(table) == THRESHOLD_WHOLE and table == table[::-1] and len(table) == 2 * THRESHOLD_STEPS + 1
    rate = epsilon / THRESHOLD_STEPS
    k = np.abs(np.arange(-THRESHOLD_STEPS, THRESHOLD_STEPS + 1))
    expected = np.exp(-rate * k) * np.tanh(rate / 2)
    expected[[0, -1]] = math.exp(-epsilon) / (1 + math.exp(-rate))
    assert np.array(table, dtype=float) / THRESHOLD_WHOLE == pytest.approx(expected, rel=1e-3, abs=1e-17)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_no_table_spends_more_than_its_epsilon_nor_much_less(epsilon: float) -> None:
    assert epsilon * (1 - 1e-3) < table_epsilon_of_number(noise_table(epsilon)) <= epsilon
    for count in (2, 5):
        assert epsilon * (1 - 1e-3) < table_epsilon_of_category(category_table(epsilon, count)) <= epsilon


def test_a_category_stays_with_the_odds_of_randomised_response() -> None:
    """At epsilon log 3 among three: stays 3/5, each other 1/5. One category alone always stays."""
    stays, other = category_table(math.log(3), 3)
    assert stays + 2 * other == THRESHOLD_WHOLE
    assert stays / THRESHOLD_WHOLE == pytest.approx(3 / 5)
    assert float(category_ratio((stays, other))) == pytest.approx(3.0)
    assert category_table(1.0, 1) == (THRESHOLD_WHOLE, 0) and category_ratio((THRESHOLD_WHOLE, 0)) == 1


def test_beyond_thirty_the_noise_is_that_of_thirty() -> None:
    assert noise_table(31.0) == noise_table(30.0) and category_table(31.0, 2) == category_table(30.0, 2)


def test_a_table_with_an_impossible_outcome_is_refused() -> None:
    table = list(noise_table(1.0))
    table[5] = 0
    with pytest.raises(ValueError, match="impossible"):
        number_ratio(tuple(table))


def test_logarithms_and_floats_are_rounded_up() -> None:
    assert log_above(Fraction(1)) == 0
    assert (
        0
        < log_above(Fraction(2)) - Fraction("0.693147180559945309417232121458176568075500134360255")
        < Fraction(1, 10**45)
    )
    third = Fraction(1, 3)
    assert Fraction(math.nextafter(float_above(third), 0)) < third <= Fraction(float_above(third))
    assert float_above(Fraction(1, 2)) == 0.5


@pytest.mark.parametrize("epsilon", [8.0, 20.0])
def test_the_stated_deviation_is_that_of_unclamped_noise(epsilon: float) -> None:
    decay = math.exp(-epsilon / THRESHOLD_STEPS)
    k = np.arange(-20_000, 20_001)
    probability = (1 - decay) / (1 + decay) * decay ** np.abs(k)
    assert noise_sd(epsilon) == pytest.approx(math.sqrt((probability * k**2).sum()), rel=1e-9)
