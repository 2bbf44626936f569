"""Remove deleted content from SQLite's write-ahead log. Other databases are left as they are."""

from __future__ import annotations

import logging

from django.db import connection, transaction

from core.sqlite_patience import sqlite_waits

log = logging.getLogger(__name__)
_BUSY_MS = 50  # a checkpoint keeps every writer waiting meanwhile


def wal_truncate_on_commit() -> None:
    """Empty the write-ahead log once this transaction has committed.

    ``secure_delete`` overwrites deleted content in the database file. The log holds older copies of pages until it is emptied.
    """
    if connection.vendor == "sqlite":
        transaction.on_commit(wal_truncate)


def wal_truncate() -> bool:
    """Empty the write-ahead log, and return whether it is empty. A process that reads may keep it for a while."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return False
    with sqlite_waits(_BUSY_MS), connection.cursor() as cursor:
        (busy, _, _) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        log.warning(
            "the write-ahead log could not be emptied while another process reads; the next run of expiry does it"
        )
    return not busy
