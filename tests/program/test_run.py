"""``run.py`` as a stranger meets it: wrong arguments, a bare machine, an install that fails. Nothing half done is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import ROOT

pytestmark = pytest.mark.embedded  # knows neither database nor broker

FILES = ("run.py", "bootstrap.py", "requirements.txt", "requirements-dev.txt")


def run(root: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "run.py"), *arguments],
        cwd="/",
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what run.py needs, without .venv, on a machine without ensurepip (and the quicker for it).

    Its only requirement is a package that no registry has.
    """
    root = tmp_path / "clone"
    (root / "r3al_project").mkdir(parents=True)
    (root / "loops" / "specs").mkdir(parents=True)
    for name in FILES:
        shutil.copy(ROOT / name, root / name)
    with_ensurepip = '[sys.executable, "-m", "venv", str(VENV)]'
    text = (root / "bootstrap.py").read_text()
    assert with_ensurepip in text
    (root / "bootstrap.py").write_text(text.replace(with_ensurepip, '["false"]'))
    shutil.copy(ROOT / "r3al_project" / "processes" / "supervisor.py", root / "r3al_project" / "processes")
    (root / "loops" / "specs" / "r3al.toml").touch()
    for name in FILES[2:]:
        (root / name).write_text(f"r3al-none-such==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    return root


@pytest.fixture
def no_registry(tmp_path: Path) -> dict[str, str]:
    """pip may look into one empty folder only."""
    (tmp_path / "wheels").mkdir()
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels"), "PIP_CONFIG_FILE": os.devnull}


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--users", "0"], "--users 0 is not a number of people; give 1 or more."),
        (
            ["--users", "1000000000"],
            "--users 1,000,000,000 are too many to simulate on one machine; give at most 100,000.",
        ),
        (["--users", "59"], "--users 59 are too few for a story; give at least 60, or --once."),
        (["--epsilon", "0"], "--epsilon 0 is not a privacy budget; give a number above 0."),
        (["--epsilon", "nan"], "--epsilon nan is not a privacy budget; give a number above 0."),
        (["--seed", "-1"], "--seed -1 is negative; give 0 or more."),
        (["--port", "0"], "--port 0 is not a port; give a number between 1 and 65535."),
        (["--loop", "nope"], "--loop nope is not a known loop; choose one of r3al, or give a .toml file."),
        (["--loop", "/nope.toml"], "--loop: there is no file /nope.toml."),
        (["--source", "/nope.csv"], "--source: there is no file /nope.csv."),
        (["--source", "/"], "--source: / is not a file."),
    ],
)
def test_a_wrong_argument_is_said_in_one_sentence_before_anything_is_done(
    clone: Path, arguments: list[str], sentence: str
) -> None:
    done = run(clone, "demo", *arguments)
    assert (done.returncode, done.stderr, done.stdout) == (1, f"run.py: {sentence}\n", "")
    assert not (clone / ".venv").exists() and not (clone / "var").exists()


@pytest.mark.parametrize("command", ["demo", "serve"])
def test_a_taken_port_is_said_before_anything_is_done(clone: Path, taken_port: int, command: str) -> None:
    done = run(clone, command, "--port", str(taken_port))
    assert done.stderr == f"run.py: Port {taken_port} is taken by another program; choose another with --port.\n"
    assert done.returncode == 1 and not (clone / ".venv").exists()


def test_a_failed_install_leaves_no_environment(clone: Path, no_registry: dict[str, str]) -> None:
    done = run(clone, "setup", **no_registry)
    assert done.returncode == 1
    assert (
        "run.py: The packages could not be installed: No matching distribution found for r3al-none-such" in done.stderr
    )
    assert not (clone / ".venv").exists()


def test_a_failed_update_leaves_an_environment_that_worked_alone(clone: Path, no_registry: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(clone / ".venv")], check=True)
    (clone / ".venv" / ".requirements.json").write_text(json.dumps({"requirements.txt": "of an earlier version"}))
    done = run(clone, "setup", **no_registry)
    assert done.returncode == 1
    assert (clone / ".venv" / "bin" / "python").exists()
    assert "earlier" in (clone / ".venv" / ".requirements.json").read_text()


def test_an_interrupted_install_leaves_no_environment(clone: Path) -> None:
    """The registry is a port that accepts and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        process = subprocess.Popen(
            [sys.executable, str(clone / "run.py"), "setup"],
            env={**os.environ, "PIP_INDEX_URL": index, "PIP_CONFIG_FILE": os.devnull},
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.settimeout(50)
        connection, _ = silent.accept()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
        connection.close()
    assert process.returncode == 130
    assert said.endswith("run.py: interrupted; unfinished work was removed.\n")
    assert not (clone / ".venv").exists()


def test_an_environment_whose_making_was_killed_is_made_anew(clone: Path) -> None:
    for name in FILES[2:]:
        (clone / name).write_text("")
    (clone / ".venv").mkdir()
    (clone / ".venv" / ".unfinished").touch()
    (clone / ".venv" / "rest").touch()
    done = run(clone, "setup")
    assert done.returncode == 0, done.stderr
    assert not (clone / ".venv" / "rest").exists() and not (clone / ".venv" / ".unfinished").exists()


def test_a_folder_of_somebody_else_is_not_touched(clone: Path) -> None:
    (clone / ".venv").mkdir()
    (clone / ".venv" / "mine").touch()
    done = run(clone, "setup")
    assert done.stderr == f"run.py: {clone}/.venv has no working Python; remove that folder and start again.\n"
    assert (clone / ".venv" / "mine").exists()


def test_the_second_start_installs_nothing(clone: Path, no_registry: dict[str, str]) -> None:
    for name in FILES[2:]:
        (clone / name).write_text("# nothing\n")
    assert run(clone, "setup", "--dev", **no_registry).returncode == 0
    began = time.monotonic()
    again = run(clone, "setup", **no_registry)
    assert again.stderr == f"Ready: {clone}/.venv/bin/python\n"
    assert time.monotonic() - began < 5


@pytest.mark.slow
def test_with_ensurepip_the_environment_has_a_pip_of_its_own(clone: Path, no_registry: dict[str, str]) -> None:
    shutil.copy(ROOT / "bootstrap.py", clone / "bootstrap.py")
    for name in FILES[2:]:
        (clone / name).write_text("# nothing\n")
    assert run(clone, "setup", **no_registry).returncode == 0
    assert (clone / ".venv" / "bin" / "pip").exists()


def test_without_ensurepip_the_pip_of_the_machine_is_used(clone: Path, no_registry: dict[str, str]) -> None:
    for name in FILES[2:]:
        (clone / name).write_text("# nothing\n")
    done = run(clone, "setup", **no_registry)
    assert done.returncode == 0, done.stderr
    assert not (clone / ".venv" / "bin" / "pip").exists()
    assert (clone / ".venv" / ".requirements.json").exists()


def test_help_names_every_command() -> None:
    done = run(ROOT, "--help")
    assert done.returncode == 0
    for command in ("setup", "demo", "test", "serve"):
        assert f"run.py {command}" in done.stdout
        assert run(ROOT, command, "--help").returncode == 0
