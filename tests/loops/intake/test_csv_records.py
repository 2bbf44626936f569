"""Every line of a file is in exactly one record, whatever one of them holds."""

from __future__ import annotations

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loops.intake.csv_records import CsvRecord, CsvRecords, numbered_lines

HEADER = "user,time,mood,action,note"
ROW = "u1,2024-05-01,0.1,ping,fine"


def records(*lines: str) -> list[CsvRecord]:
    text = StringIO("\n".join([HEADER, *lines]) + "\n", newline="")
    return list(CsvRecords(numbered_lines(text), ","))[1:]


def found(*lines: str) -> list[tuple[int, str | None]]:
    return [(r.line, r.error.reason if r.error else None) for r in records(*lines)]


class TestAnUnclosedQuote:
    def test_costs_its_own_line_alone(self) -> None:
        lines = [ROW] * 5_000
        lines[8] = 'u1,2024-05-01,"0.1,ping,fine'
        assert [r for r in found(*lines) if r[1]] == [(10, "unreadable")] and len(found(*lines)) == 5_000

    def test_that_a_later_one_closes_swallows_nothing(self) -> None:
        """The two broken rows join to one with the right number of cells."""
        opening, closing = 'u1,2024-05-01,0.1,"ping,fine', 'u1,2024-05-01,0.1,ping",fine'
        for between in (0, 1, 300):
            got = found(ROW, opening, *[ROW] * between, closing, ROW)
            assert len(got) == between + 4 and got[1] == (3, "unreadable"), between

    def test_in_the_last_line_loses_no_other(self) -> None:
        assert found(ROW, 'u1,2024-05-01,0.1,"ping,fine') == [(2, None), (3, "unreadable")]

    def test_in_every_line_rejects_every_line(self) -> None:
        assert found(*['"u1,2024-05-01,0.1,ping,fine'] * 3_000) == [(i + 2, "unreadable") for i in range(3_000)]

    def test_after_a_closed_cell_is_found_too(self) -> None:
        assert found('u1,"2024-05-01",0.1,"ping,fine', ROW) == [(2, "unreadable"), (3, None)]

    def test_whose_lines_look_like_no_rows_ends_somewhere(self) -> None:
        got = found('u1,2024-05-01,0.1,ping,"fine', *["a word"] * 3_000, ROW)
        assert got[0] == (2, "unreadable") and got[-1] == (3_003, None) and len(got) == 3_002


class TestACellOfSeveralLines:
    @pytest.mark.parametrize(
        "row",
        [
            'u1,2024-05-01,0.1,ping,"first\n\nsecond, and third\nfourth"',
            '"u1\nu2",2024-05-01,0.1,ping,fine',
            'u1,"2024\n05",0.1,"ping\npong",fine',
            'u1,2024-05-01,0.1,ping,"she said ""yes""\nand left"',
        ],
    )
    def test_is_one_row(self, row: str) -> None:
        got = records(ROW, row, ROW)
        assert [r.error for r in got] == [None] * 3 and all(len(r.cells) == 5 for r in got)

    def test_with_a_wrong_number_of_cells_takes_no_other_row_with_it(self) -> None:
        assert found('u1,2024-05-01,"ping\nfine"', ROW) == [(2, "unreadable"), (3, "cells"), (4, None)]

    def test_may_be_in_the_header(self) -> None:
        text = StringIO('user,"mood\n(1 to 5)",note\nu1,2,fine\n', newline="")
        assert [r.cells for r in CsvRecords(numbered_lines(text), ",")] == [
            ["user", "mood\n(1 to 5)", "note"],
            ["u1", "2", "fine"],
        ]


def test_an_unclosed_quote_in_the_header_is_an_error_of_its_line() -> None:
    text = StringIO(f'user,time,mood,action,"note\n{ROW}\n{ROW}\n{ROW}"\n', newline="")
    first = next(iter(CsvRecords(numbered_lines(text), ",")))
    assert first.error is not None and "never closed" in first.error.text


@given(
    st.lists(
        st.one_of(st.just(ROW), st.text('",a;\x00 é', max_size=12).map(lambda t: ROW.replace("ping", t))), max_size=40
    )
)
def test_every_line_is_read_or_rejected(lines: list[str]) -> None:
    """A row takes one line here, so there are as many records as lines."""
    got = found(*lines)
    assert [line for line, _ in got] == list(range(2, len(lines) + 2))
    assert all(reason is None for (_, reason), line in zip(got, lines, strict=True) if line == ROW)
