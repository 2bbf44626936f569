"""Rows under local privacy: the tables themselves bound the ratio, by exact arithmetic over every input and output."""

from __future__ import annotations

import math
import os
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from privacy.engine.columns import Column
from privacy.engine.local_dp import (
    STEPS,
    category_table,
    draw,
    local_rows,
    noise_table,
    table_epsilon_of_category,
    table_epsilon_of_number,
)
from r3al_project.common.errors import InputError

NUMBER, CATEGORY = Column("n", -1.0, 3.0), Column("c", 0.0, 2.0, ("a", "b", "c"))
FALSE_ALARM = 1e-6  # of each statistical test here


@pytest.mark.parametrize("epsilon", [1e-3, 0.1, 0.5, 1.0, 5.0])
def test_no_output_is_more_than_e_to_the_epsilon_as_probable_under_any_other_input(epsilon: float) -> None:
    """All 257 inputs and 257 outputs, in whole numbers, the clamped ends included."""
    table = noise_table(epsilon)
    assert sum(table) == 1 << 63 and min(table) > 0 and len(table) == 2 * STEPS + 1
    tails = [0]
    for weight in table:
        tails.append(tails[-1] + weight)
    bound = Fraction(math.exp(epsilon))
    for output in range(STEPS + 1):
        seen = [_weight(table, tails, given, output) for given in range(STEPS + 1)]
        assert sum(seen) > 0 and Fraction(max(seen), min(seen)) <= bound, output
    assert epsilon * (1 - 1e-6) <= table_epsilon_of_number(table) <= epsilon


def _weight(table: tuple[int, ...], tails: list[int], given: int, output: int) -> int:
    """Of the 2^63 words, how many give ``output`` from ``given``: noise is clamped at both ends of the grid."""
    at = output - given + STEPS
    if output == 0:
        return tails[at + 1]
    if output == STEPS:
        return tails[-1] - tails[at]
    return table[at]


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("count", [2, 3, 16])
def test_randomised_response_spends_no_more_either(epsilon: float, count: int) -> None:
    stays, other = category_table(epsilon, count)
    assert stays + other * (count - 1) == 1 << 63
    assert Fraction(stays, other) <= Fraction(math.exp(epsilon))
    assert epsilon * (1 - 1e-6) <= table_epsilon_of_category((stays, other)) <= epsilon


def test_a_row_spends_no_more_than_was_asked_over_all_its_columns() -> None:
    made = local_rows(np.tile([0.0, 1.0], (10, 1)), columns=[NUMBER, CATEGORY], epsilon=1.0)
    assert 0.999999 <= made.epsilon <= 1.0


def test_the_sampler_draws_what_the_table_says() -> None:
    table = noise_table(2.0)
    counts = np.bincount(draw(table, 400_000), minlength=len(table))
    expected = np.array(table, float) / 2.0**63 * counts.sum()
    assert expected.min() > 20
    assert stats.chisquare(counts, expected).pvalue > FALSE_ALARM


def test_categories_flip_as_often_as_is_said() -> None:
    made = local_rows(np.zeros((200_000, 1)), columns=[CATEGORY], epsilon=1.0)
    counts = np.bincount(made.values[:, 0].astype(int), minlength=3)
    expected = np.array([1 - made.flip[0], made.flip[0] / 2, made.flip[0] / 2]) * counts.sum()
    assert stats.chisquare(counts, expected).pvalue > FALSE_ALARM


def test_numbers_stay_within_bounds_and_small_noise_is_centred() -> None:
    made = local_rows(np.full((100_000, 1), 1.0), columns=[NUMBER], epsilon=40.0)
    assert made.values.min() >= -1.0 and made.values.max() <= 3.0
    error = 5 * made.sd[0] / math.sqrt(100_000)  # five standard errors: one in two million
    assert abs(made.values.mean() - 1.0) < error
    assert made.values.std() == pytest.approx(made.sd[0], rel=0.05)


def test_no_draw_has_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, real = list[int](), os.urandom

    def urandom(size: int) -> bytes:
        asked.append(size)
        return real(size)

    monkeypatch.setattr(os, "urandom", urandom)
    local_rows(np.zeros((10, 1)), columns=[CATEGORY], epsilon=1.0)
    assert asked == [80]


@pytest.mark.parametrize(
    ("values", "columns", "epsilon", "said"),
    [
        ([[0.0]], [NUMBER], 0.0, "epsilon"),
        ([[0.0]], [NUMBER], float("nan"), "epsilon"),
        ([[0.0]], [NUMBER], 1e-320, "epsilon"),
        ([[4.0]], [NUMBER], 1.0, "outside"),
        ([[float("nan")]], [NUMBER], 1.0, "outside"),
        ([[0.0, 0.0]], [NUMBER], 1.0, "do not fit"),
        ([[0.0]], [], 1.0, "do not fit"),
    ],
)
def test_what_cannot_be_is_refused(values: list[list[float]], columns: list[Column], epsilon: float, said: str) -> None:
    with pytest.raises(InputError, match=said):
        local_rows(np.array(values), columns=columns, epsilon=epsilon)
