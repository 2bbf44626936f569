"""The import graph of the product: arrows that point up, and circles. ``python -m tests.walls.imports`` prints both."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.system import ROOT
from tests.walls.source import modules, packages, parsed

FLOORS = (
    "core",
    "jobs",
    "notices",
    "loops",
    "privacy",
    "training",
    "deployments",
    "r3al_project",
)  # from the ground up
BESIDE = {"simulator": "deployments"}  # stands on its own: may import what this floor may
Graph = dict[str, set[str]]


def import_graph(root: Path) -> Graph:
    """Return, for each module, the modules of the product that it imports anywhere, inside functions too."""
    known = dict(modules(root))
    return {name: {t for t in _targets(parsed(path), known) if t != name} for name, path in known.items()}


def _targets(tree: ast.Module, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (target if target in known else node.module for target in inside if node.module in known)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def unplaced_packages(root: Path) -> list[str]:
    """Return each package of the product that stands on no floor."""
    return [package for package in packages(root) if package not in FLOORS and package not in BESIDE]


def upward_arrows(root: Path) -> list[str]:
    """Return ``importer -> imported`` for each import of a floor above one's own. Unplaced packages are left out."""
    unplaced = unplaced_packages(root)
    return [
        f"{module} -> {target}"
        for module, targets in sorted(import_graph(root).items())
        for target in sorted(targets)
        if not {_floor(module), _floor(target)} & {*unplaced} and points_up(module, target)
    ]


def points_up(module: str, target: str) -> bool:
    """Tell whether the target stands above the module, or beside it in another package. Both stand on a floor."""
    rise = _height(target) - _height(module)
    return rise > 0 or (rise == 0 and _floor(target) != _floor(module))


def _floor(module: str) -> str:
    return module.split(".")[0]


def _height(module: str) -> int:
    """Return the number of the floor. Raises LookupError for a package on none."""
    floor = BESIDE.get(_floor(module), _floor(module))
    if floor not in FLOORS:
        raise LookupError(f"{module} stands on no floor; name {floor} in FLOORS or BESIDE of tests/walls/imports.py")
    return FLOORS.index(floor)


def circles(root: Path) -> list[list[str]]:
    """Return groups of modules that import each other in a circle (strongly connected components, by Tarjan)."""
    graph, found = import_graph(root), list[list[str]]()
    order, low, stack = dict[str, int](), dict[str, int](), list[str]()

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for target in graph[module]:
            if target not in order:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], order[target])
        if low[module] == order[module]:
            group = [stack.pop()]
            while group[-1] != module:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for module in graph:
        if module not in order:
            visit(module)
    return found


def main() -> int:
    """Print what a reader wants to know of the graph; 1 when it has an upward arrow or a circle."""
    graph, up, round_ = import_graph(ROOT), upward_arrows(ROOT), circles(ROOT)
    print(
        f"{len(graph)} modules, {sum(map(len, graph.values()))} imports, {len(up)} upward arrows, {len(round_)} circles"
    )
    for line in [*up, *(" <-> ".join(group) for group in round_)]:
        print(line)
    return 1 if up or round_ else 0


if __name__ == "__main__":
    sys.exit(main())
