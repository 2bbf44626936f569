"""Tell whether the database can be written, which reading it does not show."""

from __future__ import annotations

import sqlite3

from django.db import OperationalError, connection, transaction

from core.sqlite_patience import sqlite_waits

_PATIENCE_MS = 3_000  # no transaction of the platform should hold SQLite's write lock for that long

_PRIMARY = 0xFF  # an extended code of SQLite has its primary code in the lowest byte


def write_obstacle() -> str:
    """Return why nothing can be written to the database now, or an empty text.

    SQLite's write lock is taken and given back. PostgreSQL is asked whether it is read-only, as a standby is.
    """
    if connection.vendor == "sqlite":
        return _sqlite_obstacle()
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_read_only")
        (read_only,) = cursor.fetchone()
    return "the database is read-only" if read_only == "on" else ""


def _sqlite_obstacle() -> str:
    try:
        with sqlite_waits(_PATIENCE_MS), transaction.atomic():
            return ""
    except OperationalError as error:
        if getattr(error.__cause__, "sqlite_errorcode", 0) & _PRIMARY in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return f"another process has held the database's write lock for {_PATIENCE_MS / 1000:g} seconds"
        return f"the database cannot be written ({error})"
