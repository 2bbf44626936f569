"""The test database of each pytest-xdist process: the first one migrates its own, the others begin with a copy of it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from django.db import connection
from django.test.utils import setup_databases

from tests.services_under_test.postgresql import (
    database_create,
    database_drop,
    database_exists,
    database_named,
)

Made = list[tuple[Any, str, bool]]


def database_setup() -> Made:
    """Make this process's test database; what ``teardown_databases`` of Django takes.

    A process alone migrates and leaves no copy. Those that come while the first one migrates wait for it.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return _migrated()
    with (_home() / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _on_sqlite() if connection.vendor == "sqlite" else _on_postgresql()


def template_drop() -> None:
    """Drop what the processes of this run copied, if that is on PostgreSQL: SQLite's lies in the folder of the run."""
    server = os.environ.get("DATABASE_URL", "")
    if server.startswith("postgres") and (_home() / "template.lock").exists():
        database_drop(server, database_named(server, _template()))


def _on_sqlite() -> Made:
    template, own = _home() / "template.sqlite3", Path(connection.settings_dict["TEST"]["NAME"])
    if template.exists():
        _copy(template, own)
        return _migrated(keepdb=True)
    made = _migrated()
    whole = template.with_suffix(".part")
    _copy(own, whole)
    whole.rename(template)
    return made


def _on_postgresql() -> Made:
    server = os.environ["DATABASE_URL"]
    if database_exists(server, _template()):
        connection.settings_dict["TEST"]["TEMPLATE"] = _template()
        return _migrated()
    made = _migrated()
    connection.close()  # a database in use cannot be copied
    database_create(server, _template(), template=connection.settings_dict["NAME"])
    return made


def _migrated(*, keepdb: bool = False) -> Made:
    return setup_databases(verbosity=0, interactive=False, keepdb=keepdb, serialized_aliases=set())


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as write:
        read.backup(write)


def _home() -> Path:
    return Path(os.environ["R3AL_TEST_HOME"])


def _template() -> str:
    return f"template_{_home().name}"
