"""Split the lines of a CSV file into records, so that one unclosed quote costs one line and not those after it.

A quoted cell may span lines. A quote that somebody forgot to close looks the same, and would swallow rows until the next quote.
So a record of several lines is believed only where it has the header's number of cells, and none of its lines looks like a
row of its own. Otherwise its first line is rejected alone, and the reading goes on at the second.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple, TextIO

from loops.engine.rows.cells import RowError

_LONGEST_LINE = 1 << 20
_LONGEST_RECORD = 131_072  # characters of a record that spans lines, as many as the csv module allows in a cell
_MOST_LINES = 1_000  # of a record
_SEPARATOR_LINE = re.compile(r'"?sep=(?P<mark>[^\w\s"]|\t|\\t)?"?[,;\t]*\s*\Z', re.IGNORECASE)


class FileLine(NamedTuple):  # made for every line, and a tuple is made fastest
    """Hold one line of a file with its number from 1. ``whole`` is False for a line above 1 MiB, whose end was left out."""

    number: int
    text: str
    whole: bool = True


class CsvRecord(NamedTuple):
    """Hold the cells of one record and the number of its first line, or why it cannot be read."""

    line: int
    cells: list[str]
    error: RowError | None = None


def numbered_lines(text: TextIO) -> Iterator[FileLine]:
    """Yield the lines of a text in bounded memory."""
    number = 0
    while line := text.readline(_LONGEST_LINE):
        number += 1
        whole = len(line) < _LONGEST_LINE or line.endswith(("\n", "\r"))
        if not whole:
            _skip_to_end(text)
        yield FileLine(number, line, whole)


def separator_taken(lines: Iterator[FileLine]) -> tuple[str | None, Iterator[FileLine]]:
    """Take off a first line like ``sep=;``, which spreadsheets write. Returns its separator, and the other lines."""
    first = next((line for line in lines if line.text.strip()), None)
    if first is None:
        return None, iter(())
    found = _SEPARATOR_LINE.match(first.text)
    if found is None:
        return None, chain([first], lines)
    return (found["mark"] or ",").replace("\\t", "\t"), lines


def line_too_long() -> RowError:
    """Return the error of a line above 1 MiB."""
    return RowError("too_long", "the line is longer than 1 MiB")


class CsvRecords:
    """Iterate over the records of a file: the header first, then rows. Blank lines are skipped."""

    def __init__(self, lines: Iterator[FileLine], delimiter: str) -> None:
        self._lines, self._delimiter = lines, delimiter
        self._again: deque[FileLine] = deque()  # lines of a record that was not believed
        self._width: int | None = None  # of the header

    def __iter__(self) -> Iterator[CsvRecord]:
        while (line := self._next_line()) is not None:
            if not line.text.strip("\r\n"):
                continue
            record = self._record(line)
            if self._width is None:
                self._width = len(record.cells)
            yield record

    def _next_line(self) -> FileLine | None:
        return self._again.popleft() if self._again else next(self._lines, None)

    def _record(self, first: FileLine) -> CsvRecord:
        if not first.whole:
            return CsvRecord(first.number, [], line_too_long())
        try:
            cells = next(csv.reader((first.text,), delimiter=self._delimiter))
        except csv.Error:
            return CsvRecord(first.number, [], RowError("unreadable", "the line is not valid CSV"))
        if '"' in first.text and self._ends_quoted(first):
            return self._spanning(first)
        return CsvRecord(first.number, cells, self._wrong_width(cells))

    def _ends_quoted(self, line: FileLine) -> bool:
        """Return whether the line ends inside of a quoted cell. Only then does the reader ask for a second line."""
        rows = csv.reader((line.text, '"'), delimiter=self._delimiter)
        next(rows)
        return rows.line_num > 1

    def _spanning(self, first: FileLine) -> CsvRecord:
        """Read a record that spans lines, or reject its first line alone and give the others back."""
        taken = [first]
        try:
            cells = next(csv.reader(self._more(taken), delimiter=self._delimiter, strict=True))
            believed = self._is_believed(taken, cells)
        except csv.Error:
            believed = False
        if believed:
            return CsvRecord(first.number, cells)
        self._again.extendleft(reversed(taken[1:]))
        return CsvRecord(first.number, [], RowError("unreadable", "a quote in this line is never closed"))

    def _more(self, taken: list[FileLine]) -> Iterator[str]:
        """Yield the lines of one record, and end where a line within the quotes looks like a row of its own."""
        yield taken[0].text
        width, size = self._expected(taken[0]), len(taken[0].text)
        while (line := self._next_line()) is not None:
            taken.append(line)
            size += len(line.text)
            yield line.text  # the reader comes back only if the quotes go on
            if not line.whole or size > _LONGEST_RECORD or len(taken) > _MOST_LINES or width in self._counts(line):
                return

    def _is_believed(self, taken: list[FileLine], cells: list[str]) -> bool:
        if self._width is None:  # a header's cells may have line breaks
            return True
        both_whole = max(self._counts(taken[0])) >= self._width and max(self._counts(taken[-1])) >= self._width
        return len(cells) == self._width and not both_whole

    def _expected(self, first: FileLine) -> int:
        return self._counts(first)[0] if self._width is None else self._width

    def _counts(self, line: FileLine) -> tuple[int, int]:
        """Return the numbers of cells that a line has alone: with quotes as plain characters, and as quotes."""
        plain = line.text.count(self._delimiter) + 1
        try:
            return plain, len(next(csv.reader((line.text,), delimiter=self._delimiter)))
        except csv.Error:
            return plain, plain

    def _wrong_width(self, cells: list[str]) -> RowError | None:
        if self._width is None or len(cells) == self._width:
            return None
        return RowError("cells", f"the row has {len(cells)} cells, but the header has {self._width}")


def _skip_to_end(text: TextIO) -> None:
    while (rest := text.readline(_LONGEST_LINE)) and not rest.endswith(("\n", "\r")):
        pass
