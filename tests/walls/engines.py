"""Engines open no file: they are given what they compute on."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.walls.source import modules, parsed

OPENING_CALLS = {"open", "exec", "eval", "__import__", "breakpoint", "input"}
OPENING_METHODS = {"open_file", "read_text", "read_bytes", "write_text", "write_bytes", "tofile", "fromfile", "memmap",
                   "loadtxt", "savetxt", "genfromtxt"}  # fmt: skip


def opened_files(root: Path) -> list[str]:
    """Return ``module:line call`` for each call in an engine that opens a file or runs text."""
    return [
        f"{name}:{node.lineno} {called}"
        for name, path in modules(root)
        if name.split(".")[1:2] == ["engine"]
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and (called := _opens(node.func))
    ]


def _opens(called: ast.expr) -> str:
    if isinstance(called, ast.Name) and called.id in OPENING_CALLS:
        return called.id
    return called.attr if isinstance(called, ast.Attribute) and called.attr in OPENING_METHODS else ""
