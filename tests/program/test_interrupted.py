"""Ctrl-C, a termination and a closed terminal leave one sentence and nothing half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system import ROOT

pytestmark = pytest.mark.embedded  # a demo has a database of its own
SENTENCE, NOTHING_BEGUN = "run.py: interrupted; unfinished work was removed.", "run.py: interrupted; nothing was begun."


def demo(home: Path, users: int = 1000) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    env |= {"R3AL_VAR_DIR": str(home), "DJANGO_SETTINGS_MODULE": "r3al_project.settings"}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run.py"), "demo", "--once", "--users", str(users)],
        cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # nohup leaves it ignored
    )  # fmt: skip


def after_line(process: subprocess.Popen[str], start: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(start):
            return


def after_seconds(seconds: float) -> Callable[[subprocess.Popen[str]], None]:
    return lambda process: time.sleep(seconds)


@pytest.mark.parametrize(
    ("moment", "end", "users"),
    [
        (after_seconds(1.0), signal.SIGINT, 1000),
        (lambda process: after_line(process, "loop r3al"), signal.SIGINT, 1000),
        (lambda process: after_line(process, "simulating"), signal.SIGHUP, 1000),
        (lambda process: after_line(process, "collect ..."), signal.SIGTERM, 100),
    ],
    ids=["Ctrl-C at the start", "Ctrl-C before simulating", "the terminal closes", "terminated in a stage"],
)
def test_a_demo_that_is_stopped_says_so_and_leaves_nothing(
    moment: Callable[[subprocess.Popen[str]], None], end: signal.Signals, users: int, tmp_path: Path
) -> None:
    process = demo(tmp_path, users)
    moment(process)
    process.send_signal(end)
    out, said = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    last = said.splitlines()[-1]  # a loaded machine still imports modules after a second
    assert last == SENTENCE or (said == f"{last}\n" and last == NOTHING_BEGUN), said
    assert "Traceback" not in said and said.count("interrupted") == 1
    assert list((tmp_path / "demo").glob("*")) == []


def test_a_terminal_that_is_gone_stops_the_demo_too(tmp_path: Path) -> None:
    """Nobody can read the sentence any more."""
    process = demo(tmp_path)
    after_line(process, "simulating")
    assert process.stderr is not None and process.stdout is not None
    process.stderr.close()
    process.stdout.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=120) == 130
    assert list((tmp_path / "demo").glob("*")) == []


def test_a_command_that_is_interrupted_shows_no_lines_of_code(tmp_path: Path) -> None:
    env = {**os.environ, "R3AL_VAR_DIR": str(tmp_path), "DATABASE_URL": "", "REDIS_URL": ""}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "prepare"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "preparing the database ...\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "manage.py: interrupted\n")
