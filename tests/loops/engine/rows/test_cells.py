from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loops.engine.rows.cells import RowError, parse_flag, parse_number, without_zero_decimals


@given(st.text(max_size=20))
def test_any_text_is_a_number_missing_or_rejected(text: str) -> None:
    try:
        parse_number(text, "x")
    except RowError as error:
        assert error.reason in ("not_a_number", "not_finite")


@pytest.mark.parametrize(
    ("text", "flag"), [("True", True), (" yes", True), ("1.0", True), ("1,0", True), ("FALSE", False), ("0", False)]
)
def test_flags(text: str, flag: bool) -> None:
    assert parse_flag(text, "x") is flag


class TestADecimalComma:
    @pytest.mark.parametrize(("text", "value"), [("0,5", 0.5), ("-1,25E-3", -0.00125), ("7", 7.0), (" 2,0 ", 2.0)])
    def test_is_read_where_the_file_writes_one(self, text: str, value: float) -> None:
        assert parse_number(text, "x", ",") == value

    @pytest.mark.parametrize("text", ["1.234", "1.234,5", "1,2,3", "0.5"])
    def test_leaves_no_number_to_guessing(self, text: str) -> None:
        """1.234 may be a thousand or one and a bit."""
        with pytest.raises(RowError, match="is not a number"):
            parse_number(text, "x", ",")

    def test_is_hinted_at_where_it_was_not_declared(self) -> None:
        with pytest.raises(RowError, match=r'needs decimal = "," in \[import.csv\]'):
            parse_number("0,5", "x")


@pytest.mark.parametrize(
    ("word", "whole"), [("2.0", "2"), ("2,00", "2"), ("-1.0", "-1"), ("2.5", "2.5"), ("v.0", "v.0")]
)
def test_whole_numbers_of_columns_with_gaps(word: str, whole: str) -> None:
    assert without_zero_decimals(word) == whole
