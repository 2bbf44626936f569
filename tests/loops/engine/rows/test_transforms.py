from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loops.engine.rows.transforms import parse_transform


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("log(x + 0.5)", 0.0, -0.6931471805599453),
        ("log(x + 1)", math.e - 1, 1.0),
        ("log1p(x)", 1.0, 0.6931471805599453),
        ("exp(-x)", 0.0, 1.0),
        ("sqrt(x)", 9.0, 3.0),
        ("abs(x)", -2.0, 2.0),
        ("x / 100", 25.0, 0.25),
        ("x * 2 + 1", 3.0, 7.0),
        ("(x - 20) / 10", 25.0, 0.5),
        ("-x", 4.0, -4.0),
        ("+x", 4.0, 4.0),
        ("x - -1", 1.0, 2.0),
        ("min(x, 10)", 12.0, 10.0),
        ("max(x, 10)", 8.0, 10.0),
        ("clip(x, 0, 1)", 1.5, 1.0),
        (" x ", 7.0, 7.0),
        ("1e3 * x", 2.0, 2000.0),
    ],
)
def test_the_closed_set(text: str, x: float, expected: float) -> None:
    assert parse_transform(text)(x) == pytest.approx(expected, rel=1e-15)


def test_a_number_gives_a_number_and_an_array_an_array() -> None:
    half = parse_transform("x / 2")
    assert type(half(3)) is float
    assert half(np.array([1.0, 4.0])).tolist() == [0.5, 2.0]
    assert half(np.ones((2, 3))).shape == (2, 3)


@pytest.mark.parametrize(
    ("text", "x"),
    [
        ("log(x)", 0.0),
        ("log(x)", -1.0),
        ("sqrt(x)", -1.0),
        ("1 / x", 0.0),
        ("exp(x)", 1e4),
        ("x / x", 0.0),
        ("x", math.nan),
    ],
)
def test_what_is_not_finite_counts_as_missing(text: str, x: float) -> None:
    assert math.isnan(parse_transform(text)(x))
    assert np.isnan(parse_transform(text)(np.array([x, x]))).all()


def test_only_the_missing_values_of_an_array_are_missing() -> None:
    assert np.isnan(parse_transform("log(x)")(np.array([1.0, 0.0, np.nan]))).tolist() == [False, True, True]


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "x +", "y", "3", "log(2)", "x ** 2", "x // 2", "x % 2", "x @ x", "x > 1", "not x", "~x", "x and 1",
        "x if x else 1", "lambda x: x", "[x]", "x[0]", "x.real", "x.__class__", "x()", "(x := 1)", "f'{x}'",
        "'x'", "True * x", "1j * x", "None", "log", "log(x, 2)", "log()", "log(*[x])", "log(x=x)", "clip(x, 0)",
        "eval(x)", "__import__('os').system('true') or x", "np.log(x)", "log.__call__(x)", "x; x", "x\nx", "x\0",
        "1e999 * x", "1" + "0" * 190 + "e190 * x", "x" + " + x" * 100, "(" * 180 + "x",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|takes"):
        parse_transform(text)


@given(st.text(max_size=40))
def test_no_text_does_anything_but_give_a_function_or_be_refused(text: str) -> None:
    try:
        function = parse_transform(text)
    except ValueError:
        return
    assert isinstance(function(1.0), float)


@given(st.floats(-1e6, 1e6), st.floats(-1e3, 1e3), st.floats(0.01, 1e3))
def test_an_affine_map_is_what_it_says(x: float, shift: float, scale: float) -> None:
    assert parse_transform(f"(x - {shift!r}) / {scale!r}")(x) == (x - shift) / scale
