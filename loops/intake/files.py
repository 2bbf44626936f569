"""Files of logged decisions, a record at a time: CSV or JSON Lines, read in bounded memory.

A record that cannot be read at all (broken JSON, undecodable bytes, a wrong number of cells) carries a RowError instead
of cells, so that one bad line never ends a file.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Literal

from core.errors import InputError
from loops.engine.rows.cells import RowError

_HEAD = 65_536
_LONGEST_LINE = 1 << 20
_PEEKED = 1_000
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class Source:
    """A file that can be read: its format, its digest, its columns (in JSON Lines, of the first thousand lines)."""

    path: Path
    kind: Literal["csv", "jsonl"]
    delimiter: str
    columns: tuple[str, ...]
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One row of a file, the line it begins on, and about how many bytes were read by then."""

    line: int
    cells: dict[str, str]
    error: RowError | None
    read: int


def open_source(path: Path, *, of: str = "logged decisions") -> Source:
    """Look at a file ``of`` what is wanted. Raises InputError when it is missing, not a file, unreadable, empty or not text."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory; give the CSV or JSON Lines file itself")
        if not path.is_file():
            raise InputError(f"there is no file {path}; give a CSV or JSON Lines file of {of}")
        with path.open("rb") as file:
            head = file.read(_HEAD)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return _described(path, head, sha256, of)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from None


def read_records(source: Source) -> Iterator[FileRecord]:
    """Every record in the order of the file; blank lines are passed over."""
    with source.path.open("rb") as raw, _text(raw) as text:
        yield from (_csv_records if source.kind == "csv" else _json_records)(source, text, raw)


def _described(path: Path, head: bytes, sha256: str, of: str) -> Source:
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise InputError(f"{path} is empty; give a CSV or JSON Lines file of {of}")
    if b"\0" in head:
        raise InputError(f"{path} is not a text file; give CSV or JSON Lines in UTF-8")
    named = path.suffix.lower()
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    json_lines = named in _JSON_SUFFIXES or (named not in (".csv", ".tsv") and start.startswith(b"{"))
    if json_lines:
        return Source(path, "jsonl", "", _json_columns(path), sha256, path.stat().st_size)
    with path.open("rb") as raw, _text(raw) as text:
        header = next((line for line in _lines(text) if line.strip()), "")
        delimiter = max((",", ";", "\t"), key=header.count)
        text.seek(0)
        rows = csv.reader(_lines(text), delimiter=delimiter)
        try:
            columns = tuple(c.strip() for c in next(row for row in rows if row))
        except csv.Error as error:
            raise InputError(f"{path} has no readable header line ({error}); give CSV or JSON Lines in UTF-8") from None
    return Source(path, "csv", delimiter, columns, sha256, path.stat().st_size)


def _text(raw: BinaryIO) -> TextIOWrapper:
    """Undecodable bytes become lone surrogates, to be found row by row."""
    return TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _lines(text: TextIOWrapper) -> Iterator[str]:
    """Lines, none longer than a mebibyte: what follows counts as a line of its own and will be rejected."""
    while line := text.readline(_LONGEST_LINE):
        yield line


def _csv_records(source: Source, text: TextIOWrapper, raw: BinaryIO) -> Iterator[FileRecord]:
    rows = csv.reader(_lines(text), delimiter=source.delimiter)
    width, header, line = len(source.columns), True, 1
    while True:
        error = None
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            row, error = [""], RowError("unreadable", "the line is no CSV (perhaps a quote that never ends)")
        start, line = line, rows.line_num + 1
        if not row:
            continue
        if header:
            header = False
            continue
        if error is None and len(row) != width:
            error = RowError("cells", f"the row has {len(row)} cells and the header {width}")
        if error is None and not _decoded("".join(row)):
            error = RowError("undecodable", "the row is not in UTF-8")
        yield FileRecord(start, {} if error else dict(zip(source.columns, row, strict=True)), error, raw.tell())


def _json_records(source: Source, text: TextIOWrapper, raw: BinaryIO) -> Iterator[FileRecord]:
    for line, written in enumerate(_lines(text), start=1):
        if written.isspace():
            continue
        try:
            yield FileRecord(line, _json_cells(written), None, raw.tell())
        except RowError as error:
            yield FileRecord(line, {}, error, raw.tell())


def _json_cells(written: str) -> dict[str, str]:
    if not _decoded(written):
        raise RowError("undecodable", "the line is not in UTF-8")
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        raise RowError("unreadable", "the line is no JSON") from None
    if not isinstance(value, dict):
        raise RowError("unreadable", "the line is no JSON object")
    return {name: _json_text(name, v) for name, v in value.items()}


def _json_text(name: str, value: object) -> str:
    if isinstance(value, str):
        if not _decoded(value):
            raise RowError("undecodable", "the line holds half a character")
        return value
    if value is None:
        return ""
    return "" if isinstance(value, dict | list) else str(value)


def _json_columns(path: Path) -> tuple[str, ...]:
    columns: dict[str, None] = {}
    with path.open("rb") as raw, _text(raw) as text:
        for _, written in zip(range(_PEEKED), _lines(text), strict=False):
            try:
                columns |= dict.fromkeys(_json_cells(written))
            except RowError:
                continue
    if not columns:
        raise InputError(f"{path} holds no JSON objects; give one object a line, or a CSV file with a header")
    return tuple(columns)


def _decoded(text: str) -> bool:
    """Whether every byte was UTF-8: undecodable ones were read as lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
