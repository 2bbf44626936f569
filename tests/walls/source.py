"""The product's modules under a root, parsed."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

OUTSIDE = {"tests", "benchmarks"}  # packages beside the product


def packages(root: Path) -> list[str]:
    """Return the product's packages: every folder with an ``__init__.py`` at the top, but tests and benchmarks."""
    return sorted(p.parent.name for p in root.glob("*/__init__.py") if p.parent.name not in OUTSIDE)


def linted_packages(root: Path) -> list[str]:
    """Return the packages that the import contracts know."""
    config = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return sorted(config["tool"]["importlinter"]["root_packages"])


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (dotted name, path) of each module of the product, migrations left out."""
    for package in packages(root):
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if "migrations" not in parts:
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


@cache
def _parsed(path: Path, changed: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def parsed(path: Path) -> ast.Module:
    """Parse a module, once while it does not change."""
    return _parsed(path, path.stat().st_mtime_ns)
