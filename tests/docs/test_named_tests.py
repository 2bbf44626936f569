"""Documents name tests that exist, as ``tests/file.py::test`` or ``tests/file.py::Class::test``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.system import ROOT
from tests.walls.documents import documents

_NAMED = re.compile(r"`(tests/[\w/]+\.py)((?:::\w+)+)")


def named() -> Iterator[tuple[str, str, str]]:
    """Each test that a document names: document, file, and names inside it."""
    for document in documents(ROOT):
        for file, names in _NAMED.findall(document.read_text(encoding="utf-8")):
            yield document.name, file, names


def inside(path: Path) -> set[str]:
    """The names of a file as pytest writes them: ``::test``, ``::Class`` and ``::Class::test``."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(f"::{node.name}")
        if isinstance(node, ast.ClassDef):
            found |= {f"::{node.name}::{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


def test_each_is_there() -> None:
    rows = list(named())
    assert len(rows) > 30, "the pattern finds them"
    assert not [row for row in rows if not (ROOT / row[1]).exists() or row[2] not in inside(ROOT / row[1])]
