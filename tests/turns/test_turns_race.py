"""Turns begun and cancelled by real processes on a real PostgreSQL: one turn a loop, and a cancelled one is cancelled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.services_under_test import PostgreSQL


@pytest.fixture(scope="module")
def facts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the scenarios of ``race_turns.py`` found, on a server of their own."""
    if request.config.getoption("--without-services"):
        pytest.skip("NOT TESTED: what needs PostgreSQL or Redis (--without-services)")
    home: Path = tmp_path_factory.mktemp("turns")
    server = PostgreSQL().start()
    try:
        run = subprocess.run(
            [sys.executable, "-m", "tests.turns.race_turns"],
            cwd=ROOT, env={**os.environ, "DATABASE_URL": server.url, "R3AL_VAR_DIR": str(home), "REDIS_URL": ""},
            capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        yield json.loads(run.stdout.splitlines()[-1])
    finally:
        server.stop()


def test_it_ran_on_postgresql(facts: dict[str, Any]) -> None:
    assert facts["vendor"] == "postgresql"


def test_of_eight_who_begin_at_once_one_does_and_nothing_is_left_of_the_others(facts: dict[str, Any]) -> None:
    found = facts["beginning_at_once"]
    assert found["outcomes"] == {"begun": 1, "refused": 7}
    assert (found["turns"], found["stages"], found["jobs"]) == (1, 1, 1)


def test_a_stage_that_begins_meanwhile_is_the_one_that_is_cancelled(facts: dict[str, Any]) -> None:
    found = facts["cancelled_while_its_stage_ends"]
    assert found["waited"] and found["stages"] == [["collect", "done"], ["release", "cancelled"]]
    assert found["outcome"] == "failed" and "nothing of its stage release is written" in found["said"][0]


def test_a_turn_that_was_cancelled_never_goes_on(facts: dict[str, Any]) -> None:
    found = facts["ending_and_cancelling_at_once"]
    asked = found.get("cancelled", 0) + found.get("asked to end", 0)
    assert asked + found.get("was over", 0) == 10 and found["open jobs left"] == 0
    assert found.get("the turn is kept", 0) == found.get("was over", 0), found
