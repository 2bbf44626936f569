"""``manage.py`` from a terminal: a database that is not prepared is one sentence that says what to do, for every command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import ROOT

COMMANDS = (
    ["decide", "--loop", "r3al", "--input", "states.csv", "--output", "choices.csv"],
    ["import_signals", "states.csv", "--loop", "r3al"],
    ["run_loop", "--loop", "r3al"],
    ["replay"],
    ["verify_vault"],
)


def manage(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "states.csv").write_text("who\n", encoding="utf-8")
    env = {**os.environ, "R3AL_VAR_DIR": str(folder / "var"), "DATABASE_URL": f"sqlite:///{folder / 'new.sqlite3'}"}
    return subprocess.run(
        [sys.executable, ROOT / "manage.py", *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
def test_a_database_that_is_not_prepared_says_so(tmp_path: Path, command: list[str]) -> None:
    said = manage(tmp_path, *command)
    assert said.returncode == 1
    assert "manage.py prepare" in said.stderr and "Traceback" not in said.stderr, said.stderr


def test_a_traceback_is_there_for_who_asks(tmp_path: Path) -> None:
    assert "Traceback" in manage(tmp_path, "replay", "--traceback").stderr


def test_no_command_writes_progress_or_hints_in_the_bold_red_of_errors() -> None:
    """Django paints what a command writes to ``self.stderr`` in the style of errors unless the call names another."""
    floors = ("jobs", "notices", "loops", "privacy", "training", "deployments", "r3al_project")
    commands = [path for floor in floors for path in (ROOT / floor).glob("**/management/commands/*.py")]
    assert len(commands) > 10
    calls = [
        call
        for path in commands
        for call in re.findall(r"self\.stderr\.write\((?:[^()]|\([^()]*\))*\)", path.read_text())
    ]
    assert calls and all("style_func=" in call for call in calls), calls
