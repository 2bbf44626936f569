"""One group of processes serves a folder: the second is refused, and the lock goes with the process that holds it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from r3al_project.processes.one_at_a_time import FolderTaken, only_one
from tests.system import ROOT

pytestmark = pytest.mark.embedded  # knows neither database nor broker
HOLD = """
import subprocess, sys
from pathlib import Path
from r3al_project.processes.one_at_a_time import only_one
with only_one(Path(sys.argv[1])):
    child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    sys.stdin.read()
"""


def test_a_second_holder_is_refused_with_the_id_of_the_first(tmp_path: Path) -> None:
    with (
        only_one(tmp_path),
        pytest.raises(FolderTaken, match=f"served already, by process {os.getpid()}"),
        only_one(tmp_path),
    ):
        pass
    with only_one(tmp_path):
        pass
    assert (tmp_path / "serve.lock").stat().st_mode & 0o077 == 0


def test_a_killed_holder_holds_nothing_although_its_child_lives_on(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(FolderTaken), only_one(tmp_path):
            pass
        holder.kill()
        holder.communicate()
        end = time.monotonic() + 10
        while True:
            try:
                with only_one(tmp_path):
                    break
            except FolderTaken:
                assert time.monotonic() < end
                time.sleep(0.05)
    finally:
        os.kill(child, 9)
