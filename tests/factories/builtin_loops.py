"""Loops that come with the project, in memory alone."""

from __future__ import annotations

from functools import cache

from loops.engine.parse.loop import parse_loop
from loops.engine.spec import LoopSpec
from tests.system import ROOT

FOLDER = ROOT / "loops" / "specs"


@cache
def builtin(name: str) -> LoopSpec:
    """A loop that comes with the project."""
    path = FOLDER / f"{name}.toml"
    return parse_loop(path.read_text(encoding="utf-8"), source=path.name)
