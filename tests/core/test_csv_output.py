"""What the product writes as CSV is shown by a spreadsheet and never run by it."""

from __future__ import annotations

import csv
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.csv_output import CsvWriter
from core.neutral_text import neutral_text
from tests.system import ROOT
from tests.walls.source import modules


def written(*row: object) -> list[str]:
    out = StringIO()
    CsvWriter(out).writerow(row)
    return next(csv.reader(StringIO(out.getvalue())))


@pytest.mark.parametrize(
    "text",
    [
        "=1+1", "+1+2", "-2+3", "@SUM(1)", "=cmd|' /C calc'!A0", "\t=1", " =1+1", "\r\n=1", "-", "-1e", "+49 30 1",
        "\uff1d1+1", "-1..=2",
    ],
)  # fmt: skip
def test_a_text_that_begins_like_a_formula_stands_behind_an_apostrophe(text: str) -> None:
    assert written(text) == [f"'{text}"] and neutral_text(neutral_text(text)) == neutral_text(text)


@pytest.mark.parametrize(
    "cell", ["-2", "-0.5", "+1", "-.5", "-1.5e-07", "-0.5..0.25", "-2..-1", "a=b", "", "home", "2024-05-31", "'quoted"]
)
def test_numbers_spans_and_other_texts_are_written_as_they_are(cell: str) -> None:
    assert written(cell) == [cell]


@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**15), 10**15)))
def test_every_number_is_read_back(number: float) -> None:
    assert [float(cell) for cell in written(number, repr(number), f"{number:.6g}")][:2] == [number, float(repr(number))]


@given(st.text(max_size=12))
def test_no_text_but_a_number_begins_like_a_formula(text: str) -> None:
    cell = neutral_text(text)
    assert cell in (text, f"'{text}")
    assert not cell.lstrip().startswith(("=", "@")) and not cell.startswith(("\t", "\r", "\n"))


def test_nothing_of_the_product_writes_csv_in_another_way() -> None:
    writers = {name for name, path in modules(ROOT) if "csv.writer(" in path.read_text(encoding="utf-8")}
    writers |= {name for name, path in modules(ROOT) if "DictWriter(" in path.read_text(encoding="utf-8")}
    assert writers == {"core.csv_output"}
