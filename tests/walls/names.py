"""A public class, constant or type has one name and one meaning in the whole tree."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.walls.source import modules, parsed

SHARED = {"Command"}  # what Django asks every command to be called
_TYPE_OR_CONSTANT = re.compile(r"[A-Z]\w*")
_SETTINGS = "r3al_project.settings"  # a namespace of its own, read through django.conf


def names_defined_twice(root: Path) -> dict[str, list[str]]:
    """Return each public class, constant or type that two modules define, with those modules."""
    found: dict[str, list[str]] = defaultdict(list)
    for module, path in modules(root):
        if module != _SETTINGS:
            for name in set(_defined(parsed(path))):
                found[name].append(module)
    return {name: where for name, where in sorted(found.items()) if len(where) > 1 and name not in SHARED}


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        yield from (name for name in names if _TYPE_OR_CONSTANT.fullmatch(name))
