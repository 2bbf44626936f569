"""A file is there whole or not at all, whoever else writes it and however its writer ends."""

from __future__ import annotations

import ast
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from django.core.exceptions import ImproperlyConfigured

from core.atomic_files import SHARED, atomic_file
from core.errors import Conflict, InputError
from r3al_project import environment
from tests.system import ROOT
from tests.walls.source import modules, parsed

KILLED = """
import os, signal, sys
from pathlib import Path
from core.atomic_files import atomic_file
with atomic_file(Path(sys.argv[1]), replace=True) as out:
    out.write("half")
    out.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_new_file_is_its_owners_and_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "told"
    with atomic_file(path) as out:
        out.write("ü\r\n")
        assert not path.exists()
    assert path.read_bytes() == "ü\r\n".encode() and [p.name for p in tmp_path.iterdir()] == ["told"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_that_may_be_read_and_may_replace(tmp_path: Path) -> None:
    path = tmp_path / "told"
    path.write_text("before")
    with atomic_file(path, replace=True, mode=SHARED) as out:
        out.write("after")
    assert path.read_text() == "after" and stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("replace", [True, False])
def test_a_fault_leaves_what_was_there(tmp_path: Path, replace: bool) -> None:
    path = tmp_path / "told"
    if replace:
        path.write_text("before")
    before = {p.name: p.read_text() for p in tmp_path.iterdir()}
    with pytest.raises(KeyboardInterrupt), atomic_file(path, replace=replace) as out:
        out.write("half")
        raise KeyboardInterrupt
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == before


def test_a_killed_writer_leaves_what_was_there_under_the_name(tmp_path: Path) -> None:
    path = tmp_path / "told"
    path.write_text("before")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == -9 and path.read_text() == "before"


@pytest.mark.parametrize("name", ["taken", "link", "no folder/told", "taken/told"])
def test_a_name_that_cannot_be_had_is_refused_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "taken").write_text("theirs")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"exists already|cannot be written"), atomic_file(tmp_path / name):
        raise AssertionError("it was opened")


def test_of_many_at_once_one_gets_the_name(tmp_path: Path) -> None:
    path, opened = tmp_path / "told", Barrier(8)

    def write(text: str) -> str | None:
        try:
            with atomic_file(path) as out:
                opened.wait(timeout=30)
                out.write(text * 10_000)
        except Conflict:
            return None
        return text

    with ThreadPoolExecutor(8) as pool:
        (won,) = filter(None, pool.map(write, "abcdefgh"))
    assert path.read_text() == won * 10_000 and len(list(tmp_path.iterdir())) == 1


def test_processes_that_start_together_read_one_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = set(pool.map(lambda _: environment.secret({}, "X", embedded_file=tmp_path / "x"), range(64)))
    assert len(told) == 1 and [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_secret_that_cannot_be_kept_says_so(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"cannot be stored: .*no folder"):
        environment.secret({}, "X", embedded_file=tmp_path / "no folder" / "x")


def test_nothing_else_in_the_product_makes_files_of_its_own() -> None:
    """Calls that create or rename a file, but for folders and for what runs before the packages are there."""
    found = set()
    for _, path in modules(ROOT):
        for node in ast.walk(parsed(path)):
            said = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if said.endswith((".mkstemp", ".write_text", ".write_bytes", "os.replace", ".hardlink_to", "os.link")):
                found.add(str(path.relative_to(ROOT)))
            if said.split(".")[-1] in ("open", "fdopen") and '"w' in ast.unparse(node).replace("'", '"'):
                found.add(str(path.relative_to(ROOT)))
    assert found == {"core/atomic_files.py", "jobs/folder_broker.py"}, "messages are written whole in their own way"
