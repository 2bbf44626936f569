"""Read files of logged decisions (CSV or JSON Lines) record by record, in bounded memory.

One bad line never stops the reading of a file. An unreadable record (broken JSON, undecodable bytes, a wrong number of cells)
carries a RowError instead of cells.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
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
    """Describe a readable file: format, size in bytes, SHA-256, and columns (for JSON Lines, of the first thousand lines)."""

    path: Path
    kind: Literal["csv", "jsonl"]
    delimiter: str
    columns: tuple[str, ...]
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Hold one row of a file. ``line`` is its first line, ``read`` the approximate number of bytes read up to it."""

    line: int
    cells: dict[str, str]
    error: RowError | None
    read: int


def open_source(path: Path, *, of: str = "logged decisions") -> Source:
    """Inspect a file before reading it.

    Args: of: the expected content, for error messages.
    Raises: InputError when the file is missing, a directory, unreadable, empty or not text, or when its name is not.
    """
    try:
        os.fsencode(path.name).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"the name of the file {path.name!r} is not UTF-8; rename the file") from None
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
    """Yield every record in file order. Blank lines are skipped."""
    with source.path.open("rb") as raw, _text(raw) as text:
        yield from (_csv_records if source.kind == "csv" else _json_records)(source, text, raw)


def _described(path: Path, head: bytes, sha256: str, of: str) -> Source:
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise InputError(f"{path} is empty; give a CSV or JSON Lines file of {of}")
    if b"\0" in head:
        raise InputError(f"{path} is not a text file; give CSV or JSON Lines in UTF-8")
    suffix = path.suffix.lower()
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    json_lines = suffix in _JSON_SUFFIXES or (suffix not in (".csv", ".tsv") and start.startswith(b"{"))
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
    """Decode as UTF-8. Undecodable bytes become lone surrogates, which are detected row by row."""
    return TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _lines(text: TextIOWrapper) -> Iterator[str]:
    """Yield lines of at most 1 MiB. The remainder of a longer line counts as a line of its own and will be rejected."""
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
            row, error = [""], RowError("unreadable", "the line is not valid CSV (perhaps an unclosed quote)")
        start, line = line, rows.line_num + 1
        if not row:
            continue
        if header:
            header = False
            continue
        if error is None and len(row) != width:
            error = RowError("cells", f"the row has {len(row)} cells, but the header has {width}")
        if error is None and not _is_utf8("".join(row)):
            error = RowError("undecodable", "the row is not in UTF-8")
        yield FileRecord(start, {} if error else dict(zip(source.columns, row, strict=True)), error, raw.tell())


def _json_records(source: Source, text: TextIOWrapper, raw: BinaryIO) -> Iterator[FileRecord]:
    for number, line in enumerate(_lines(text), start=1):
        if line.isspace():
            continue
        try:
            yield FileRecord(number, _json_cells(line), None, raw.tell())
        except RowError as error:
            yield FileRecord(number, {}, error, raw.tell())


def _json_cells(line: str) -> dict[str, str]:
    if not _is_utf8(line):
        raise RowError("undecodable", "the line is not in UTF-8")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise RowError("unreadable", "the line is not valid JSON") from None
    if not isinstance(value, dict):
        raise RowError("unreadable", "the line is not a JSON object")
    return {name: _json_text(name, v) for name, v in value.items()}


def _json_text(name: str, value: object) -> str:
    if isinstance(value, str):
        if not _is_utf8(value):
            raise RowError("undecodable", "the line holds half a character (a lone surrogate)")
        return value
    if value is None:
        return ""
    return "" if isinstance(value, dict | list) else str(value)


def _json_columns(path: Path) -> tuple[str, ...]:
    columns: dict[str, None] = {}
    with path.open("rb") as raw, _text(raw) as text:
        for _, line in zip(range(_PEEKED), _lines(text), strict=False):
            try:
                columns |= dict.fromkeys(_json_cells(line))
            except RowError:
                continue
    if not columns:
        raise InputError(f"{path} holds no JSON objects; give one object per line, or a CSV file with a header")
    return tuple(columns)


def _is_utf8(text: str) -> bool:
    """Return whether every byte was valid UTF-8. Undecodable bytes were read as lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
