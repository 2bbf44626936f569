"""Every command that takes a file says in one sentence what is wrong with it, and writes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from loops.models import LoopVersion
from privacy.models import Decision, Person
from r3al_project.turns.models import Turn
from tests.factories.care import care_loop

pytestmark = pytest.mark.django_db(transaction=True)


def missing(folder: Path) -> Path:
    return folder / "missing.csv"


def beyond(folder: Path) -> Path:
    return folder / "no-folder" / "file.csv"


def empty(folder: Path) -> Path:
    (folder / "empty.csv").touch()
    return folder / "empty.csv"


def a_folder(folder: Path) -> Path:
    (folder / "folder.csv").mkdir()
    return folder / "folder.csv"


def binary(folder: Path) -> Path:
    (folder / "binary.csv").write_bytes(bytes(range(256)) * 20)
    return folder / "binary.csv"


def unreadable(folder: Path) -> Path:
    """A file whose reading fails for everybody, the administrator among them."""
    return Path("/proc/self/mem")


FILES = [missing, beyond, empty, a_folder, binary, unreadable]
COMMANDS = {
    "import_signals": lambda file: ["--loop", "care", file],
    "loop add": lambda file: [file],
    "loop check": lambda file: [file],
    "decide": lambda file: ["--loop", "care", "--input", file, "--output", f"{os.devnull}.csv"],
    "run_loop": lambda file: ["--loop", "care", "--source", file],
    "demo": lambda file: ["--loop", "care", "--source", file],
    "erase_user": lambda file: ["--replay", file, "--yes"],
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_cannot_be_read_is_one_sentence(
    command: str, file: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R3AL_RUN_PY", "1")  # a demo by hand is refused here before it reads a file
    if (command, file) == ("erase_user", empty):
        return  # nobody was erased before the backup
    care_loop()
    before = LoopVersion.objects.count()
    wrong = str(file(tmp_path))
    with pytest.raises(CommandError) as raised:
        call_command(*command.split(), *COMMANDS[command](wrong))
    said = str(raised.value)
    assert Path(wrong).name in said and "Traceback" not in said
    if not (command.startswith("loop") and file is empty):  # that one lists what a loop file needs
        assert "\n" not in said and len(said) < 300
    assert LoopVersion.objects.count() == before
    assert not (Turn.objects.exists() or Person.objects.exists() or Decision.objects.exists())
