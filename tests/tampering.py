"""What somebody does who owns the database: raw SQL past triggers and constraints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection


@contextmanager
def owning_the_database() -> Iterator[None]:
    """Raw SQL past triggers and constraints, as its owner could write it."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET LOCAL session_replication_role = replica")
            yield
            cursor.execute("SET LOCAL session_replication_role = origin")
            return
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'vault%'")
        triggers = cursor.fetchall()
        for name, _ in triggers:
            cursor.execute(f"DROP TRIGGER {name}")
        yield
        for _, made in triggers:
            cursor.execute(made)


def tamper(statement: str, *values: Any) -> None:
    """One raw statement that must change something."""
    with owning_the_database(), connection.cursor() as cursor:
        cursor.execute(statement, list(values))
        assert cursor.rowcount != 0, statement


def as_json(value: object) -> str:
    """A value for a JSON column in raw SQL."""
    return json.dumps(value)


@contextmanager
def unchecked(table: str) -> Iterator[None]:
    """Let any value into a table, past its CHECK constraints. Roll the transaction back afterwards."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'", [table])
            for (name,) in cursor.fetchall():
                cursor.execute(f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"')
            yield
            return
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        yield
        cursor.execute("PRAGMA ignore_check_constraints = OFF")
