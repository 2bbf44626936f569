"""Documents show commands that exist: each program, command, option and test selection is asked of the programs themselves."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from argparse import _SubParsersAction
from collections.abc import Iterator
from functools import cache

import pytest
from django.core.management import BaseCommand, get_commands, load_command_class

from tests.system import ROOT
from tests.walls.documents import documents

_LINE = re.compile(r"^(?: {4}|\$ )?((?:\.venv/bin/python |python3? )?(?:manage\.py|run\.py|-m) [^#`\n]*)", re.MULTILINE)
_INLINE = re.compile(r"`((?:python3? )?(?:manage\.py|run\.py|-m) [^`\n]+)`")


def shown() -> Iterator[tuple[str, str]]:
    """Each command line of a document, with the document."""
    for document in documents(ROOT):
        if document.name != "CHANGELOG.md":  # it speaks of what was
            text = document.read_text(encoding="utf-8")
            for line in {m.strip() for m in [*_LINE.findall(text), *_INLINE.findall(text)]}:
                yield str(document.relative_to(ROOT)), re.sub(r"\s*\(.*$|[.;:,]$", "", line)


SHOWN = sorted(set(shown()))


def words_of(line: str) -> list[str]:
    words = shlex.split(line.replace("...", ""))
    return words[1:] if words[0].endswith(("python", "python3")) else words


@cache
def options_of_manage(command: str) -> frozenset[str]:
    """The options that a management command takes, and those of its acts."""
    found = get_commands()
    assert command in found, f"there is no command {command!r}"
    application = found[command]
    made = load_command_class(application, command) if isinstance(application, str) else application
    assert isinstance(made, BaseCommand)
    parser = made.create_parser("manage.py", command)
    acts = [
        act for action in parser._actions if isinstance(action, _SubParsersAction) for act in action.choices.values()
    ]
    actions = [action for each in (parser, *acts) for action in each._actions]
    return frozenset(option for action in actions for option in action.option_strings)


@cache
def help_of_run(command: str) -> str:
    done = subprocess.run(
        [sys.executable, "run.py", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run.py has no command {command!r}"
    return done.stdout


def test_documents_show_commands() -> None:
    assert len(SHOWN) > 20


@pytest.mark.parametrize(("document", "line"), SHOWN, ids=lambda value: value.replace("/", "-"))
def test_a_command_and_its_options_exist(document: str, line: str) -> None:
    program, *rest = words_of(line)
    options = {word.split("=")[0] for word in rest if word.startswith("--")}
    if program == "manage.py":
        positional = [word for word in rest if not word.startswith("-")]
        assert options <= options_of_manage(positional[0]), f"{document}: {line}"
    elif program == "run.py":
        assert all(option in help_of_run(rest[0]) for option in options), f"{document}: {line}"
    else:
        assert program == "-m"
        module = ROOT / rest[0].replace(".", "/")
        found = module.with_suffix(".py").exists() or (module / "__main__.py").exists()
        assert found or rest[0] == "pytest", f"{document}: {line}"


@pytest.mark.parametrize(
    "line", sorted({line for _, line in SHOWN if line.startswith("python3 run.py test") and " -k " in line})
)
def test_a_selection_of_tests_selects_some(line: str) -> None:
    words = words_of(line)
    chosen = [w for w in words[words.index("test") + 1 :] if w not in ("--stack", "embedded")]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", *chosen]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:]
