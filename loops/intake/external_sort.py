"""Records in order of person and time, whatever their order in the file, in bounded memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from loops.engine.rows.cells import RowError
from loops.intake.files import FileRecord


def external_sort(
    records: Iterable[FileRecord], moment: Callable[[dict[str, str]], tuple[str, datetime]]
) -> Iterator[FileRecord]:
    """``records`` sorted by ``moment`` (person, time) and line; those without one come first, in the order of lines.

    ``read`` of each becomes the share of the bytes that its place in the new order stands for. The rows lie in an
    unnamed temporary database, which the operating system removes even if the process is killed.
    """
    spool = sqlite3.connect("")
    try:
        spool.execute("CREATE TABLE rows (person TEXT, at REAL, line INTEGER, read INTEGER, cells TEXT, error TEXT)")
        spool.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", (_packed(r, moment) for r in records))
        count, size = spool.execute("SELECT count(*), max(read) FROM rows").fetchone()
        found = spool.execute("SELECT line, cells, error FROM rows ORDER BY person, at, line")
        for done, (line, cells, error) in enumerate(found, start=1):
            read = size * done // count
            yield FileRecord(line, json.loads(cells), RowError(*json.loads(error)) if error else None, read)
    finally:
        spool.close()


def _packed(
    record: FileRecord, moment: Callable[[dict[str, str]], tuple[str, datetime]]
) -> tuple[str | None, float, int, int, str, str | None]:
    person, at, error = None, 0.0, record.error
    if error is None:
        try:
            person, time = moment(record.cells)
            at = time.timestamp()
        except RowError as found:
            error = found
    reason = json.dumps([error.reason, error.text]) if error else None
    return person, at, record.line, record.read, json.dumps(record.cells), reason
