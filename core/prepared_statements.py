"""Run frequent SQL statements as server-side prepared statements, prepared once per PostgreSQL connection.

Django binds values in the client, and the server then plans every statement anew. For a statement with many values the planning
costs more than the execution. This module uses Django's own connection, so transactions work as usual. It does not check
beforehand whether the connection is alive, as that would cost a round trip. A read that finds it closed is retried once.
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
    """Return the first row of a read-only statement with ``%(name)s`` placeholders, or None without rows.

    Raises: Django's database errors.
    """
    try:
        return write_row(statement, values)
    except OperationalError:
        if connection.in_atomic_block or not _lost():
            raise
        connection.close()
        return write_row(statement, values)


def write_row(statement: str, values: Mapping[str, Any]) -> DatabaseRow | None:
    """Execute a statement exactly once and return its first row.

    PostgreSQL needs an explicit cast for each placeholder whose type it cannot infer from the context.
    """
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
    """Return the cursor of a connection. Every integer is sent as bigint, as each integer size would need its own plan."""
    cursor = _cursors.get(raw)
    if cursor is None:
        cursor = _cursors[raw] = psycopg.Cursor(raw)
        cursor.adapters.register_dumper(int, Int8Dumper)
    return cursor


def _lost() -> bool:
    raw = connection.connection
    return raw is None or bool(raw.closed)
