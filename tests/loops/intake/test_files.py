from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from core.errors import InputError
from loops.engine.rows.cells import RowError
from loops.intake.external_sort import external_sort
from loops.intake.files import FileRecord, open_source, read_records


def written(tmp_path: Path, content: bytes | str, name: str = "log.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(tmp_path: Path, content: bytes | str, name: str = "log.csv") -> list[FileRecord]:
    return list(read_records(open_source(written(tmp_path, content, name))))


def reasons(found: list[FileRecord]) -> list[tuple[int, str | None]]:
    return [(r.line, r.error.reason if r.error else None) for r in found]


class TestCsv:
    def test_rows_carry_the_line_they_begin_on(self, tmp_path: Path) -> None:
        found = read(tmp_path, 'a,b\n1,"two\nlines"\n\n3,4\n')
        assert [(r.line, r.cells) for r in found] == [(2, {"a": "1", "b": "two\nlines"}), (5, {"a": "3", "b": "4"})]

    @pytest.mark.parametrize("content", ["\ufeffa,b\r\n1,2\r\n", "a;b\n1;2", "a\tb\n1\t2\n", "\n a , b \n1,2\n"])
    def test_marks_line_ends_and_separators_of_spreadsheets(self, tmp_path: Path, content: str) -> None:
        assert [r.cells for r in read(tmp_path, content)] == [{"a": "1", "b": "2"}]

    def test_a_row_with_too_many_or_too_few_cells_is_rejected_alone(self, tmp_path: Path) -> None:
        assert reasons(read(tmp_path, "a,b\n1\n1,2\n1,2,3\n")) == [(2, "cells"), (3, None), (4, "cells")]

    def test_undecodable_bytes_reject_their_row_alone(self, tmp_path: Path) -> None:
        found = read(tmp_path, b"a,b\n1,caf\xe9\n2,caf\xc3\xa9\n")
        assert reasons(found) == [(2, "undecodable"), (3, None)] and found[1].cells["b"] == "café"

    def test_a_quote_that_never_ends_does_not_end_the_file(self, tmp_path: Path) -> None:
        found = read(tmp_path, 'a,b\n1,"' + "x" * 200_000 + "\n3,4\n")
        assert reasons(found) == [(2, "unreadable"), (3, None)]

    def test_a_line_without_end_is_one_rejected_row(self, tmp_path: Path) -> None:
        found = read(tmp_path, "a,b\n" + "1,2," * 600_000 + "\n3,4\n")
        assert reasons(found) == [(2, "too_long"), (3, None)] and found[-1].cells == {"a": "3", "b": "4"}

    def test_a_first_line_names_the_separator(self, tmp_path: Path) -> None:
        for first, mark in (
            ("sep=;", ";"),
            ('"sep=,"', ","),
            ("SEP=\\t", "\t"),
            ("\ufeffsep=|\r", "|"),
            ("sep=;;;", ";"),
        ):
            found = read(tmp_path, f"{first}\na{mark}b\n1{mark}2\n")
            assert [(r.line, r.cells) for r in found] == [(3, {"a": "1", "b": "2"})], first

    def test_a_nul_character_rejects_its_row_wherever_it_is(self, tmp_path: Path) -> None:
        rows = [b"%d,2" % i for i in range(20_000)]
        for at in (3, 19_999):
            damaged = [*rows[:at], b"x\0,2", *rows[at + 1 :]]
            found = read(tmp_path, b"a,b\n" + b"\n".join(damaged) + b"\n")
            assert [r for r in reasons(found) if r[1]] == [(at + 2, "nul_character")] and len(found) == 20_000


class TestJsonLines:
    def test_values_become_the_text_a_csv_would_hold(self, tmp_path: Path) -> None:
        found = read(tmp_path, '{"a": 1.5, "b": true, "c": null, "d": {"x": 1}}\n\n{"a": "x"}\n', "log.jsonl")
        assert [(r.line, r.cells) for r in found] == [(1, {"a": "1.5", "b": "True", "c": "", "d": ""}), (3, {"a": "x"})]

    def test_columns_are_those_of_all_the_first_lines(self, tmp_path: Path) -> None:
        path = written(tmp_path, '{"a": 1}\n{"b": 2}\n', "log.ndjson")
        assert open_source(path).columns == ("a", "b")

    def test_it_is_known_by_its_first_character_too(self, tmp_path: Path) -> None:
        assert open_source(written(tmp_path, '{"a": 1}\n', "log.txt")).kind == "jsonl"

    def test_broken_lines_are_rejected_alone(self, tmp_path: Path) -> None:
        content = b'{"a": 1}\n{"a": \n[1]\n{"a": "caf\xe9"}\n{"a": "\\ud800"}\n' + b"[" * 99_999 + b"\n"
        content += b'{"a": "\\u0000"}\n{"a": 1, "a": 2}\n{"a": "' + b"x" * 2_000_000 + b'"}\n{"a": 3}'
        found = reasons(read(tmp_path, content, "log.jsonl"))
        assert found == [
            (1, None), (2, "unreadable"), (3, "unreadable"), (4, "undecodable"), (5, "undecodable"), (6, "unreadable"),
            (7, "nul_character"), (8, "unreadable"), (9, "too_long"), (10, None),
        ]  # fmt: skip


class TestFilesThatCannotBeRead:
    @pytest.mark.parametrize(
        ("name", "content", "says"),
        [
            ("log.csv", b"", "is empty"),
            ("log.csv", b"\xef\xbb\xbf\n \n", "is empty"),
            ("log.csv", b"SQLite format 3\0\x10\0", "not a text file"),
            ("log.csv", "a,b\n1,2\n".encode("utf-16"), "not a text file"),
            ("log.jsonl", b"a,b\n1,2\n", "holds no JSON objects"),
        ],
    )
    def test_one_sentence_says_why(self, tmp_path: Path, name: str, content: bytes, says: str) -> None:
        with pytest.raises(InputError, match=says):
            open_source(written(tmp_path, content, name))

    def test_a_name_that_is_not_utf8_is_refused_before_anything_is_stored(self, tmp_path: Path) -> None:
        """No record of the import could hold it."""
        path = tmp_path / "log-\udcff.csv"
        path.write_text("a,b\n1,2\n")
        with pytest.raises(InputError, match="is not UTF-8; rename the file"):
            open_source(path)

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="there is no file"):
            open_source(tmp_path / "none.csv")
        with pytest.raises(InputError, match="is a directory"):
            open_source(tmp_path)


def test_rows_are_put_in_order_of_person_time_and_line() -> None:
    def record(line: int, who: str, at: str) -> FileRecord:
        return FileRecord(line, {"who": who, "at": at}, None, 10 * line)

    def moment(cells: dict[str, str]) -> tuple[str, datetime]:
        if cells["at"] == "?":
            raise RowError("bad_time", "no time")
        return cells["who"], datetime.fromisoformat(cells["at"])

    given = [
        record(2, "ben", "2024-05-02"),
        record(3, "ann", "2024-05-03"),
        record(4, "ann", "?"),
        record(5, "ann", "2024-05-01"),
        record(6, "ben", "2024-05-02"),
        FileRecord(7, {}, RowError("cells", "too many"), 70),
    ]
    found = list(external_sort(given, moment))
    assert reasons(found) == [(4, "bad_time"), (7, "cells"), (5, None), (3, None), (2, None), (6, None)]
    assert found[-1].read == 70 and sorted(r.read for r in found) == [r.read for r in found]
