"""What the documents tell an operator to do about copies of rows that earlier versions stored in clear, on real databases."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg

from tests.services_under_test.postgresql import PostgreSQL
from tests.system import ROOT

MARK = b"a row of an export, in clear; "
DOCUMENT = (ROOT / "docs" / "data-protection.md").read_text().partition("## What an upgrade leaves on the disk")[2]


def lines_after(words: str) -> list[str]:
    """The statements of the indented block that follows these words."""
    block = DOCUMENT.partition(words)[2].partition("\n\n")[2].partition("\n\n")[0]
    return [line.strip().rstrip(";") for line in block.splitlines()]


def copies(folder: Path) -> int:
    return sum(file.read_bytes().count(MARK) for file in folder.rglob("*") if file.is_file())


def test_the_lines_for_sqlite_leave_no_copy(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "r3al.sqlite3", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA secure_delete=OFF")
    database.execute("CREATE TABLE rounds (id INTEGER PRIMARY KEY, output BLOB)")
    database.executemany("INSERT INTO rounds (output) VALUES (?)", [(MARK * 500,)] * 50)
    database.execute("DELETE FROM rounds WHERE id > 25")
    database.execute("UPDATE rounds SET output = x'00'")
    assert copies(tmp_path) > 0
    (command,) = lines_after("**SQLite.**")
    answer = [database.execute(sql).fetchone() for sql in command.split('"')[1].split(";") if sql.strip()]
    assert answer == [None, (0, 0, 0)] and copies(tmp_path) == 0
    database.close()


def test_the_lines_for_postgresql_leave_no_copy(own_postgresql: PostgreSQL) -> None:
    with psycopg.connect(own_postgresql.url, autocommit=True) as database:
        database.execute("CREATE TABLE rounds (id int PRIMARY KEY, output bytea)")
        database.execute("ALTER TABLE rounds ALTER output SET STORAGE EXTERNAL")
        for number in range(50):
            database.execute("INSERT INTO rounds VALUES (%s, %s)", (number, MARK * 200))
        database.execute("UPDATE rounds SET output = '\\x00'")
        database.execute("CHECKPOINT")
        assert all(copies(own_postgresql.home / "data" / part) > 0 for part in ("base", "pg_wal"))
        (rewrite,) = lines_after("**PostgreSQL.**")
        for sql in (rewrite.split('"')[3], *lines_after("Then remove the segments")):
            database.execute(sql)  # type: ignore[arg-type]
    assert copies(own_postgresql.home / "data") == 0
