"""Tell an outage of the database from a fault of the program."""

from __future__ import annotations

import sqlite3

from django.db import InterfaceError, OperationalError

_TRANSIENT = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}
_PRIMARY = 0xFF  # an extended code of SQLite has its primary code in the lowest byte


def is_outage(error: BaseException | None) -> bool:
    """Return whether the database is away or busy, so that the same request may succeed later."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    if not isinstance(error.__cause__, sqlite3.Error):
        return True
    # SQLite raises the same class for a table that does not exist, and a second try finds it missing too.
    return getattr(error.__cause__, "sqlite_errorcode", 0) & _PRIMARY in _TRANSIENT
