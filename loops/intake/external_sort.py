"""Sort the records of a file by person and time in bounded memory."""

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
    """Sort records by person, time and line. Records without a readable person or time come first, by line.

    The rows are stored in an unnamed temporary database, which the operating system removes even if the process is killed.
    Args: moment: reads person and time from a record's cells, or raises RowError.
    Returns: the sorted records, with ``read`` rescaled to the record's position in the new order, in bytes.
    """
    spool = sqlite3.connect("")
    try:
        spool.execute("CREATE TABLE rows (person TEXT, at REAL, line INTEGER, read INTEGER, cells TEXT, error TEXT)")
        spool.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", (_packed(r, moment) for r in records))
        count, size = spool.execute("SELECT count(*), max(read) FROM rows").fetchone()
        ordered = spool.execute("SELECT line, cells, error FROM rows ORDER BY person, at, line")
        for done, (line, cells, error) in enumerate(ordered, start=1):
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
        except RowError as unreadable:
            error = unreadable
    reason = json.dumps([error.reason, error.text]) if error else None
    return person, at, record.line, record.read, json.dumps(record.cells), reason
