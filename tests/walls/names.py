"""A public class, constant, type or function has one name and one meaning in the whole tree."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.walls.source import modules, parsed

SHARED = {"Command", "Meta"}  # what Django asks every command, and the options of every model, to be called
_TYPE_OR_CONSTANT = re.compile(r"[A-Z]\w*")
_FUNCTION = re.compile(r"[a-z]\w*")
_SETTINGS = "r3al_project.settings"  # a namespace of its own, read through django.conf
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def names_defined_twice(root: Path) -> dict[str, list[str]]:
    """Return each public class, and each public constant, type or function of a module, that stands in two places."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, path in modules(root):
        if module != _SETTINGS:
            for name, scope in [*_of_module(parsed(path)), *_classes(parsed(path))]:
                found[name].add(".".join([module, *scope]))
    return {name: sorted(where) for name, where in sorted(found.items()) if len(where) > 1 and name not in SHARED}


def _of_module(tree: ast.Module) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the public names that a module binds itself, under ``if``, ``try`` and ``with`` too."""
    for node in _same_scope(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if _FUNCTION.fullmatch(node.name):
                yield node.name, ()
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            yield from ((name, ()) for name in names if _TYPE_OR_CONSTANT.fullmatch(name))


def _same_scope(tree: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        yield child
        if not isinstance(child, _SCOPES):
            yield from _same_scope(child)


def _classes(tree: ast.AST, scope: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each public class with the classes and functions around it."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.ClassDef) and _TYPE_OR_CONSTANT.fullmatch(child.name):
            yield child.name, scope
        yield from _classes(child, (*scope, child.name) if isinstance(child, _SCOPES[:3]) else scope)
