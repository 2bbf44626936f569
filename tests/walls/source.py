"""The product's modules under a root, parsed."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

OUTSIDE = {"tests", "benchmarks"}  # packages beside the product
ENTRANCES = {"run.py", "bootstrap.py", "manage.py"}  # what people start; the only modules at the top


def packages(root: Path) -> list[str]:
    """Return the product's packages: every folder with an ``__init__.py`` at the top, but tests and benchmarks."""
    return sorted(p.parent.name for p in root.glob("*/__init__.py") if p.parent.name not in OUTSIDE)


def linted_packages(root: Path) -> list[str]:
    """Return the packages that the import contracts know."""
    return sorted(config(root)["tool"]["importlinter"]["root_packages"])


def config(root: Path) -> dict[str, Any]:
    """Return what ``pyproject.toml`` says."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def sources(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (dotted name, path) of each module of the product."""
    for package in packages(root):
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (dotted name, path) of each module of the product, migrations left out."""
    yield from ((name, path) for name, path in sources(root) if "migrations" not in path.relative_to(root).parts)


@cache
def _parsed(path: Path, changed: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def parsed(path: Path) -> ast.Module:
    """Parse a module, once while it does not change."""
    return _parsed(path, path.stat().st_mtime_ns)


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield (module, line) of each import anywhere in a tree. The module of a relative import begins with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), node.lineno


def told(found: Collection[str], do: str) -> str:
    """Return the message of a wall that does not hold: a line for each finding, then how to mend them."""
    return "\n".join([f"{len(found)} found:", *found, f"To mend: {do}"])
