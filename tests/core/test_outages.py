"""An outage of the database is told from a fault of the program by what the database itself says."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from django.db import InterfaceError, OperationalError

from core.outages import is_outage


def wrapped(error: Exception) -> OperationalError:
    """An error as Django hands it on."""
    try:
        raise OperationalError(str(error)) from error
    except OperationalError as told:
        return told


def of_sqlite(path: Path, statement: str) -> OperationalError:
    with pytest.raises(sqlite3.OperationalError) as raised:
        sqlite3.connect(path, timeout=0).execute(statement)
    return wrapped(raised.value)


def test_a_lock_and_a_file_that_cannot_be_opened_are_outages(tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "db")
    holder.execute("BEGIN EXCLUSIVE")
    assert is_outage(of_sqlite(tmp_path / "db", "CREATE TABLE t (x)"))
    assert is_outage(of_sqlite(tmp_path / "missing" / "db", "SELECT 1"))


def test_a_table_that_does_not_exist_is_a_fault(tmp_path: Path) -> None:
    assert not is_outage(of_sqlite(tmp_path / "db", "SELECT * FROM nowhere"))


def test_a_server_that_is_away_or_a_closed_connection_is_an_outage() -> None:
    assert is_outage(OperationalError("connection refused")) and is_outage(InterfaceError("the connection is closed"))


@pytest.mark.parametrize("error", [ValueError("x"), None])
def test_nothing_else_is(error: Exception | None) -> None:
    assert not is_outage(error)
