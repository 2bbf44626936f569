"""Statements that are asked thousands of times a second: prepared once a connection on PostgreSQL, their values bound there.

Django binds values in the client and lets the server plan every text anew; for a statement with many values that costs more than
the statement. Django's own connection is used, so transactions hold as everywhere. It is not asked beforehand whether it still
lives (a round trip): a reading statement that finds it dead is asked once more on a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import OperationalError, connection
from psycopg.types.numeric import Int8Dumper

DatabaseRow = tuple[Any, ...]
_cursors: WeakKeyDictionary[psycopg.Connection[Any], psycopg.Cursor[DatabaseRow]] = WeakKeyDictionary()


def read_row(statement: str, values: Mapping[str, Any]) -> DatabaseRow | None:
    """First row of a statement that only reads, with ``%(name)s`` values; None for none. Raises Django's database errors."""
    try:
        return write_row(statement, values)
    except OperationalError:
        if connection.in_atomic_block or not _lost():
            raise
        connection.close()
        return write_row(statement, values)


def write_row(statement: str, values: Mapping[str, Any]) -> DatabaseRow | None:
    """First row that a statement returns, asked exactly once. On PostgreSQL give a type to what the place does not type."""
    if connection.vendor != "postgresql":
        with connection.cursor() as plain:
            plain.execute(statement, values)
            return plain.fetchone()  # type: ignore[no-any-return]
    connection.ensure_connection()
    with connection.wrap_database_errors:
        cursor = _cursor(connection.connection)
        cursor.execute(statement, values, prepare=True, binary=True)
        return cursor.fetchone()


def _cursor(raw: psycopg.Connection[Any]) -> psycopg.Cursor[DatabaseRow]:
    """One cursor a connection. Every whole number is sent as bigint: otherwise its size would make another statement of it."""
    cursor = _cursors.get(raw)
    if cursor is None:
        cursor = _cursors[raw] = psycopg.Cursor(raw)
        cursor.adapters.register_dumper(int, Int8Dumper)
    return cursor


def _lost() -> bool:
    raw = connection.connection
    return raw is None or bool(raw.closed)
