"""Read files of logged decisions (CSV or JSON Lines) record by record, in bounded memory.

One bad line never stops the reading of a file, nor takes other lines with it. An unreadable record (broken JSON, undecodable
bytes, a wrong number of cells) carries a RowError instead of cells.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Literal

from core.errors import InputError
from loops.engine.rows.cells import RowError
from loops.intake.csv_records import CsvRecords, FileLine, line_too_long, numbered_lines, separator_taken

_HEAD = 65_536
_PEEKED = 1_000
_DELIMITERS = (",", ";", "\t")
_BLANK = b"\xef\xbb\xbf \t\r\n"  # a byte order mark and blanks
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
    if not head.strip(_BLANK):
        raise InputError(f"{path} is empty; give a CSV or JSON Lines file of {of}")
    if _is_binary(head):
        raise InputError(f"{path} is not a text file; give CSV or JSON Lines in UTF-8")
    suffix = path.suffix.lower()
    start = head.lstrip(_BLANK)
    json_lines = suffix in _JSON_SUFFIXES or (suffix not in (".csv", ".tsv") and start.startswith(b"{"))
    if json_lines:
        return Source(path, "jsonl", "", _json_columns(path), sha256, path.stat().st_size)
    delimiter, columns = _csv_header(path)
    return Source(path, "csv", delimiter, columns, sha256, path.stat().st_size)


def _is_binary(head: bytes) -> bool:
    """Return whether a file is no text: NUL bytes in its first line or in most lines. A stray one later rejects its row."""
    lines = head.strip(_BLANK).splitlines()
    with_nul = sum(b"\0" in line for line in lines)
    return b"\0" in lines[0] or with_nul > len(lines) / 2


def _csv_header(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the delimiter and the columns of a CSV file.

    A first line like ``sep=;`` names the delimiter. Otherwise it is the most frequent one of the header line.
    """
    with path.open("rb") as raw, _text(raw) as text:
        named, lines = separator_taken(numbered_lines(text))
        first = next((line for line in lines if line.text.strip("\r\n")), FileLine(1, ""))
        delimiter = named or max(_DELIMITERS, key=first.text.count)
        header = next(iter(CsvRecords(chain([first], lines), delimiter)), None)
    if header is None:
        raise InputError(f"{path} has no header line; give CSV or JSON Lines in UTF-8")
    if header.error is not None:
        raise InputError(f"{path} has no readable header line ({header.error}); give CSV or JSON Lines in UTF-8")
    return delimiter, tuple(c.strip() for c in header.cells)


def _text(raw: BinaryIO) -> TextIOWrapper:
    """Decode as UTF-8. Undecodable bytes become lone surrogates, which are detected row by row."""
    return TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _csv_records(source: Source, text: TextIOWrapper, raw: BinaryIO) -> Iterator[FileRecord]:
    _, lines = separator_taken(numbered_lines(text))
    for record in islice(CsvRecords(lines, source.delimiter), 1, None):
        error = record.error or _text_error("".join(record.cells), "row")
        cells = {} if error else dict(zip(source.columns, record.cells, strict=True))
        yield FileRecord(record.line, cells, error, raw.tell())


def _json_records(source: Source, text: TextIOWrapper, raw: BinaryIO) -> Iterator[FileRecord]:
    for line in numbered_lines(text):
        if line.text.isspace():
            continue
        try:
            yield FileRecord(line.number, _json_cells(line), None, raw.tell())
        except RowError as error:
            yield FileRecord(line.number, {}, error, raw.tell())


def _json_cells(line: FileLine) -> dict[str, str]:
    error = _text_error(line.text, "line") if line.whole else line_too_long()
    if error is not None:
        raise error
    try:
        value = json.loads(line.text, object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise RowError("unreadable", "the line is not valid JSON") from None
    if not isinstance(value, dict):
        raise RowError("unreadable", "the line is not a JSON object")
    return {name: _json_text(v) for name, v in value.items()}


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Build a JSON object. Raises: RowError for a name that it holds twice, since one of the values would be lost."""
    built = dict(pairs)
    if len(built) < len(pairs):
        raise RowError("unreadable", "the line holds a name twice")
    return built


def _json_text(value: object) -> str:
    if isinstance(value, str):
        error = _text_error(value, "line")
        if error is not None:
            raise error
        return value
    if value is None:
        return ""
    return "" if isinstance(value, dict | list) else str(value)


def _json_columns(path: Path) -> tuple[str, ...]:
    columns: dict[str, None] = {}
    with path.open("rb") as raw, _text(raw) as text:
        for line in islice(numbered_lines(text), _PEEKED):
            try:
                columns |= dict.fromkeys(_json_cells(line))
            except RowError:
                continue
    if not columns:
        raise InputError(f"{path} holds no JSON objects; give one object per line, or a CSV file with a header")
    return tuple(columns)


def _text_error(text: str, what: str) -> RowError | None:
    """Return why a text cannot be stored, or None. Undecodable bytes were read as lone surrogates."""
    if "\0" in text:
        return RowError("nul_character", f"the {what} holds a NUL character")
    if text.isascii():
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return RowError("undecodable", f"the {what} is not in UTF-8")
    return None
