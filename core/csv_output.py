"""Write CSV that a spreadsheet shows and never runs: cells that begin like a formula are neutral (``core.neutral_text``)."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TextIO

from core.neutral_text import neutral_text


class CsvWriter:
    """Write rows of neutral cells. Args: lineterminator: as in the csv module."""

    def __init__(self, out: TextIO, *, lineterminator: str = "\r\n") -> None:
        self._writer = csv.writer(out, lineterminator=lineterminator)

    def writerow(self, row: Iterable[object]) -> None:
        """Write one row. Numbers stay as they are."""
        self._writer.writerow([neutral_text(cell) if isinstance(cell, str) else cell for cell in row])

    def writerows(self, rows: Iterable[Iterable[object]]) -> None:
        """Write rows, one after another."""
        for row in rows:
            self.writerow(row)
