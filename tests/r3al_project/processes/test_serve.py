"""``serve`` on the stack under test: a fresh database is prepared, the web interface answers, and one Ctrl-C ends everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from r3al_project.processes.one_at_a_time import LOCK_FILE
from r3al_project.processes.serve import main
from tests.stack import Stack
from tests.system import ROOT, free_port, is_alive


@pytest.fixture
def served(stack: Stack, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The running process and its port."""
    port = free_port()
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "r3al_project.settings", "R3AL_VAR_DIR": str(tmp_path)}
    if stack.is_production:
        env["DATABASE_URL"] = request.getfixturevalue("fresh_postgresql")
    process = subprocess.Popen(
        [sys.executable, "-m", "r3al_project.processes.serve", "--port", str(port), "--concurrency", "1"],
        cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process, port
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def environ_of(pid: int) -> dict[str, str]:
    """The environment that a running process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def fetch(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_it_serves_until_ctrl_c_and_leaves_nothing_behind(served: tuple[subprocess.Popen[str], int]) -> None:
    process, port = served
    said: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if line.startswith("Ctrl-C"):
            break
    url = f"http://127.0.0.1:{port}"
    assert f"{url}/" in "".join(said), said
    assert fetch(f"{url}/healthz") == (200, b"ok\n")
    status, page = fetch(f"{url}/admin/login/")
    assert status == 200 and b"csrfmiddlewaretoken" in page
    assert fetch(f"{url}/static/r3al/front_page.css")[0] == 200
    second = subprocess.run(
        process.args, cwd=ROOT, env=environ_of(process.pid), capture_output=True, text=True, timeout=60
    )
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.startswith("serve: ") and f"is served already, by process {process.pid};" in second.stderr
    assert fetch(f"{url}/healthz") == (200, b"ok\n")
    family = children(process.pid)
    assert len(family) == 5, "web, beat, a worker for long jobs, one that watches, and one that tells"
    time.sleep(1.0)  # the worker may still be starting; it must end all the same
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert not any(is_alive(pid) for pid in family)
    assert fetch_fails(f"{url}/healthz")


@pytest.mark.alone("embedded")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_closed_terminal_stops_it_whoever_still_listens(served: tuple[subprocess.Popen[str], int]) -> None:
    process, _ = served
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Ctrl-C"):
            break
    family = children(process.pid)
    process.stderr.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 0
    assert not any(is_alive(pid) for pid in family)


@pytest.mark.embedded
def test_a_file_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("R3AL_VAR_DIR", str(tmp_path))
    (tmp_path / LOCK_FILE).mkdir()  # a read-only folder does not stop the root of a test machine
    assert main([]) == 1
    assert capsys.readouterr().err == f"serve: {tmp_path / LOCK_FILE} cannot be written or run: Is a directory.\n"


def fetch_fails(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2)
    except urllib.error.URLError:
        return True
    return False
