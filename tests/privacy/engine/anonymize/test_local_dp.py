"""Rows under local privacy: the tables themselves bound the ratio, by exact arithmetic over every input and output."""

from __future__ import annotations

import math
import secrets
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.errors import InputError
from privacy.engine.anonymize.columns import Column
from privacy.engine.anonymize.local_dp import draw, exactly, local_rows
from privacy.engine.dp.threshold_tables import (
    LEAST_EPSILON,
    MOST_EPSILON,
    THRESHOLD_STEPS,
    THRESHOLD_WHOLE,
    category_table,
    float_above,
    geometric_table,
    log_above,
    noise_table,
    table_epsilon_of_category,
    table_epsilon_of_number,
)

NUMBER, CATEGORY = Column("n", -1.0, 3.0), Column("c", 0.0, 2.0, ("a", "b", "c"))
FALSE_ALARM = 1e-6  # of each statistical test here


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 6))
def test_everybody_gives_exactly_so_many_rows_all_their_own_where_they_have_any(counts: list[int], rows: int) -> None:
    everyone = np.arange(len(counts)) * 3 + 7
    people = np.repeat(everyone, np.minimum(counts, rows))
    values = np.column_stack([people / 100, np.arange(len(people)) % 3]).reshape(len(people), 2).astype(float)
    made = exactly(rows, values=values, people=people, everyone=everyone, columns=(NUMBER, CATEGORY))
    assert made.shape == (rows * len(counts), 2)
    for i, count in enumerate(counts):
        own, given_rows = made[i * rows : (i + 1) * rows], values[people == everyone[i]]
        if not count:
            assert (own == [1.0, 1.0]).all(), "the middle of the bounds"
        else:
            assert {tuple(r) for r in own} == {tuple(r) for r in given_rows}


def exp_below(epsilon: float) -> Fraction:
    """A lower bound on e^epsilon in exact fractions: the series is cut off, and all its terms are positive."""
    x, term, total = Fraction(epsilon), Fraction(1), Fraction(1)
    for k in range(1, 200):
        term = Fraction(int(term * x / k * (1 << 220)), 1 << 220)
        total += term
    return total


@pytest.mark.parametrize("epsilon", [LEAST_EPSILON, 1e-6, 1e-3, 0.1, 1 / 3, 1.0, 5.0, 28.0, MOST_EPSILON])
def test_no_output_is_more_than_e_to_the_epsilon_as_probable_under_any_other_input(epsilon: float) -> None:
    """All 257 inputs and 257 outputs, in whole numbers, the clamped ends included."""
    table = noise_table(epsilon)
    assert sum(table) == 1 << 63 and min(table) > 0 and len(table) == 2 * THRESHOLD_STEPS + 1
    tails = [0]
    for weight in table:
        tails.append(tails[-1] + weight)
    bound, worst = exp_below(epsilon), Fraction(1)
    for output in range(THRESHOLD_STEPS + 1):
        seen = [_weight(table, tails, place, output) for place in range(THRESHOLD_STEPS + 1)]
        assert min(seen) > 0
        worst = max(worst, Fraction(max(seen), min(seen)))
    assert worst <= bound
    assert epsilon * (1 - 1e-6) <= table_epsilon_of_number(table) <= epsilon
    assert table_epsilon_of_number(table) == float_above(log_above(worst))


@pytest.mark.parametrize("epsilon", [1e-6, 0.3, 1.0, 8.0, 29.0])
def test_the_table_is_the_geometric_distribution_to_5e_17(epsilon: float) -> None:
    """Total variation between a table and the formula in 50 digits."""
    table = geometric_table(Fraction(epsilon))
    with localcontext(prec=50):
        decay = (-Decimal(epsilon) / THRESHOLD_STEPS).exp()
        tail = [THRESHOLD_WHOLE * decay**k / (1 + decay) for k in range(THRESHOLD_STEPS + 1)]
        inner = [tail[k] - tail[k + 1] for k in range(1, THRESHOLD_STEPS)]
        ideal = [
            tail[THRESHOLD_STEPS],
            *reversed(inner),
            THRESHOLD_WHOLE * (1 - decay) / (1 + decay),
            *inner,
            tail[THRESHOLD_STEPS],
        ]
        distance = sum(abs(a - b) for a, b in zip(table, ideal, strict=True)) / 2 / THRESHOLD_WHOLE
    assert distance < Decimal("5e-17") and table == table[::-1]


def test_beyond_30_a_column_spends_30() -> None:
    assert noise_table(800.0) == noise_table(MOST_EPSILON) and category_table(800.0, 5) == category_table(
        MOST_EPSILON, 5
    )
    made = local_rows(np.array([[1.0, 2.0]]), columns=[NUMBER, CATEGORY], epsilon=1e9)
    assert 59.99 < made.epsilon <= 60 and made.values[0, 1] == 2.0


def test_less_than_the_weights_can_express_is_refused() -> None:
    with pytest.raises(ValueError, match="impossible"):
        noise_table(1e-30)


def _weight(table: tuple[int, ...], tails: list[int], place: int, output: int) -> int:
    """Of the 2^63 words, how many give ``output`` from ``place``: noise is clamped at both ends of the grid."""
    at = output - place + THRESHOLD_STEPS
    if output == 0:
        return tails[at + 1]
    if output == THRESHOLD_STEPS:
        return tails[-1] - tails[at]
    return table[at]


@pytest.mark.parametrize("epsilon", [1e-6, 0.1, 1.0, 5.0, MOST_EPSILON])
@pytest.mark.parametrize("count", [2, 3, 16])
def test_randomised_response_spends_no_more_either(epsilon: float, count: int) -> None:
    stays, other = category_table(epsilon, count)
    assert stays + other * (count - 1) == 1 << 63
    assert Fraction(stays, other) <= exp_below(epsilon)
    assert epsilon * (1 - 1e-6) <= table_epsilon_of_category((stays, other)) <= epsilon


@given(st.floats(3e-6, 60.0), st.integers(1, 9))
def test_a_row_spends_no_more_than_was_asked_over_all_its_columns(epsilon: float, width: int) -> None:
    columns = [NUMBER, *[CATEGORY] * (width - 1)]
    made = local_rows(np.zeros((1, width)), columns=columns, epsilon=epsilon)
    assert min(epsilon, 30.0 * width) * (1 - 1e-6) <= made.epsilon <= epsilon


@pytest.mark.parametrize("place", [0, 100, THRESHOLD_STEPS])
def test_rows_come_out_as_the_table_says_from_the_ends_and_from_within(place: int) -> None:
    """The whole path from value to clamped value, on the weights that the ratio above was computed from."""
    table = noise_table(math.nextafter(6.0, 0))
    tails = np.concatenate([[0], np.cumsum(np.array(table, dtype=object))]).tolist()
    made = local_rows(np.full((200_000, 1), place / THRESHOLD_STEPS * 4 - 1), columns=[NUMBER], epsilon=6.0)
    counts = np.bincount(
        np.rint((made.values[:, 0] + 1) / 4 * THRESHOLD_STEPS).astype(int), minlength=THRESHOLD_STEPS + 1
    )
    weights = [_weight(table, tails, place, output) for output in range(THRESHOLD_STEPS + 1)]
    assert sum(weights) == THRESHOLD_WHOLE
    assert chi_square(counts, np.array(weights, float) / THRESHOLD_WHOLE) > FALSE_ALARM


def test_the_sampler_draws_what_the_table_says() -> None:
    table = noise_table(2.0)
    counts = np.bincount(draw(table, 400_000), minlength=len(table))
    assert chi_square(counts, np.array(table, float) / THRESHOLD_WHOLE) > FALSE_ALARM


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """P value; outcomes of which 20 or fewer are expected are taken together."""
    expected = probabilities * counts.sum()
    kept = expected > 20
    seen, due = np.append(counts[kept], counts[~kept].sum()), np.append(expected[kept], expected[~kept].sum())
    some = due > 0
    return float(stats.chisquare(seen[some], due[some] * seen.sum() / due.sum()).pvalue)


def test_categories_flip_as_often_as_is_said() -> None:
    made = local_rows(np.zeros((200_000, 1)), columns=[CATEGORY], epsilon=1.0)
    counts = np.bincount(made.values[:, 0].astype(int), minlength=3)
    expected = np.array([1 - made.flip[0], made.flip[0] / 2, made.flip[0] / 2]) * counts.sum()
    assert stats.chisquare(counts, expected).pvalue > FALSE_ALARM


def test_another_category_is_any_of_the_others_wherever_one_begins() -> None:
    made = local_rows(np.full((200_000, 1), 2.0), columns=[CATEGORY], epsilon=0.5)
    stays, other = category_table(math.nextafter(0.5, 0), 3)
    counts = np.bincount(made.values[:, 0].astype(int), minlength=3)
    assert chi_square(counts, np.array([other, other, stays]) / THRESHOLD_WHOLE) > FALSE_ALARM


def test_one_category_alone_says_nothing_and_costs_nothing() -> None:
    made = local_rows(np.zeros((5, 1)), columns=[Column("c", 0.0, 0.0, ("only",))], epsilon=1.0)
    assert not made.values.any() and made.epsilon == 0 and made.flip[0] == 0


def test_numbers_stay_within_bounds_and_small_noise_is_centred() -> None:
    made = local_rows(np.full((100_000, 1), 1.0), columns=[NUMBER], epsilon=40.0)
    assert made.values.min() >= -1.0 and made.values.max() <= 3.0
    error = 5 * made.sd[0] / math.sqrt(100_000)  # five standard errors: one in two million
    assert abs(made.values.mean() - 1.0) < error
    assert made.values.std() == pytest.approx(made.sd[0], rel=0.05)


def test_no_draw_has_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, real = list[int](), secrets.token_bytes

    def token_bytes(size: int) -> bytes:
        asked.append(size)
        return real(size)

    monkeypatch.setattr(secrets, "token_bytes", token_bytes)
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
        ([[0.0]], [NUMBER], -1.0, "epsilon"),
        ([[0.0]], [NUMBER], float("inf"), "epsilon"),
        ([[0.0, 0.0]], [NUMBER, NUMBER], 1.5e-7, "epsilon"),
        ([[0.0]], [Column("flat", 0.0, 0.0)], 1.0, "bounds of flat"),
        ([[0.0]], [Column("wide", -1e308, 1e308)], 1.0, "bounds of wide"),
        ([[0.5]], [CATEGORY], 1.0, "no index"),
        ([[3.0]], [CATEGORY], 1.0, "outside"),
        ([[float("nan")]], [CATEGORY], 1.0, "outside"),
        ([[0.0, 0.0]], [NUMBER], 1.0, "pass one"),
        ([[0.0]], [], 1.0, "pass one"),
    ],
)
def test_what_cannot_be_is_refused(values: list[list[float]], columns: list[Column], epsilon: float, said: str) -> None:
    with pytest.raises(InputError, match=said):
        local_rows(np.array(values), columns=columns, epsilon=epsilon)
