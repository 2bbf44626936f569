"""Metrics name what they compare, who judged them and their unit, and print no digits that mean nothing."""

from __future__ import annotations

import math

import pytest

from core.html_format import number_text
from training.selectors.metric_words import estimate_words, metric_words


def test_two_improvements_of_one_version_have_two_names() -> None:
    logged, tried = metric_words("improvement"), metric_words("improvement", on_trial=True)
    assert logged == "improvement over the reference (reward per decision)" and tried == f"{logged}, in the trial"
    assert metric_words("improvement", over_incumbent=True).startswith("improvement over the incumbent")
    assert metric_words("improvement_tone") == "improvement tone"


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (-462184203060.3391, -9e11, 9e11, ("-4.62e+11", "-9e+11 to 9e+11")),
        (0.123456, -0.5, 1.25, ("0.1235", "-0.5 to 1.25")),
        (None, 0.1, 0.2, ("not known", "0.1 to 0.2")),
        (0.1, None, 0.2, ("0.1", "not known")),
        (1.0, 0.0, 1.0, ("not known", "too few people to say")),
    ],
)
def test_estimates_are_rounded_or_not_known(
    value: float | None, low: float | None, high: float | None, shown: tuple[str, str]
) -> None:
    name = "empathy" if (low, high) == (0.0, 1.0) else "improvement"
    assert estimate_words(name, value, low, high) == shown


def test_a_number_that_is_not_finite_is_not_known() -> None:
    assert {number_text(x) for x in (math.nan, math.inf, -math.inf)} == {"not known"}
    assert number_text(1_234_567.89) == "1.23e+06" and number_text(15_000) == "15,000"
