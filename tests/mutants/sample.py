"""Draw mutants by a seed: a module by its length, a place in it, and one change of that place.

Cosmic Ray's operators make the changes. A place has one draw however many changes it permits, or arithmetic would fill a sample.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

from tests.system import ROOT

# What charges, releases, judges and arbitrates.
SUBJECTS = (
    "privacy/engine/budget_windows.py",
    "privacy/engine/dp",
    "privacy/engine/moments",
    "privacy/engine/evaluation",
    "training/engine/gates",
    "training/engine/intervals",
    "training/engine/trainers/conservative_update.py",
    "deployments/engine/action_selection.py",
    "deployments/engine/arm_assignment.py",
    "deployments/engine/evidence",
    "deployments/engine/health",
)
_SWAPPED = {
    "BinaryOperator": (
        "Add_Sub Sub_Add Mul_Div Div_Mul Pow_Mul Mod_Mul FloorDiv_Mul LShift_RShift RShift_LShift "
        "BitAnd_BitOr BitOr_BitAnd BitXor_BitAnd"
    ),
    "ComparisonOperator": (
        "Lt_LtE Lt_Gt LtE_Lt LtE_GtE Gt_GtE Gt_Lt GtE_Gt GtE_LtE Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is"
    ),
    "UnaryOperator": "USub_UAdd Delete_Not Delete_Invert",
}
OPERATORS = (
    *(f"core/Replace{kind}_{swap}" for kind, swaps in _SWAPPED.items() for swap in swaps.split()),
    *(f"core/{name}" for name in ("AddNot", "NumberReplacer", "ZeroIterationForLoop")),
    *(f"core/Replace{name}" for name in ("AndWithOr", "OrWithAnd", "TrueWithFalse", "FalseWithTrue")),
    *(f"core/Replace{name}" for name in ("BreakWithContinue", "ContinueWithBreak")),
)
Place = tuple[int, int]  # line and column


@dataclass(frozen=True)
class Mutant:
    """Hold one changed module. ``path`` is relative to the repository, ``line`` counts from 1."""

    path: str
    line: int
    was: str
    becomes: str
    source: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}\n    - {self.was}\n    + {self.becomes}"


def modules(only: str = "") -> list[Path]:
    """Return the modules of all subjects whose path contains ``only``."""
    files = [
        file for name in SUBJECTS for file in ([ROOT / name] if name.endswith(".py") else (ROOT / name).glob("*.py"))
    ]
    return sorted(file for file in files if file.stat().st_size and only in str(file.relative_to(ROOT)))


def drawn(files: Sequence[Path], seed: int) -> Iterator[Mutant]:
    """Yield different mutants without end, as long as a hundred draws find a new one."""
    rng, seen, repeats = random.Random(seed), set[tuple[str, int, str]](), 0
    sizes = [file.stat().st_size for file in files]
    while repeats < 100:
        (file,) = rng.choices(files, sizes)
        places = _changes(file)
        if not places:
            repeats += 1
            continue
        operator, occurrence = rng.choice(places[rng.choice(sorted(places))])
        mutant = _mutant(file, operator, occurrence)
        repeats = repeats + 1 if (key := (mutant.path, mutant.line, mutant.becomes)) in seen else 0
        if not repeats:
            seen.add(key)
            yield mutant


@cache
def _changes(file: Path) -> dict[Place, list[tuple[str, int]]]:
    """Return the changes that each place permits: an operator, and the number of its occurrence in the file."""
    source = file.read_text()
    nodes, hidden, lines = list(ast_nodes(get_ast(source))), _declarations(source), source.splitlines()
    found: dict[Place, list[tuple[str, int]]] = {}
    for name in OPERATORS:
        operator = get_operator(name)()
        positions = (start for node in nodes for start, _ in operator.mutation_positions(node))
        for occurrence, place in enumerate(positions):
            if not any(first <= place < last for first, last in hidden) and not _is_marker(lines, place):
                found.setdefault(place, []).append((name, occurrence))
    return found


def _declarations(source: str) -> list[tuple[Place, Place]]:
    """Return where annotations and decorators begin and end: nothing computes with a type, a frozen class or a cache's size."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            found += [node.returns, *node.decorator_list]
        elif isinstance(node, ast.ClassDef):
            found += node.decorator_list
    return [((a.lineno, a.col_offset), (a.end_lineno or 0, a.end_col_offset or 0)) for a in found if a is not None]


def _is_marker(lines: Sequence[str], place: Place) -> bool:
    """Tell whether a place is the star or slash that parts the parameters of a function."""
    return lines[place[0] - 1][place[1] :].startswith(("*,", "/,", "/)"))


def _mutant(file: Path, operator: str, occurrence: int) -> Mutant:
    before = file.read_text()
    after = str(mutate_code(before, get_operator(operator)(), occurrence))
    lines = zip(before.splitlines(), after.splitlines(), strict=True)
    line, was, becomes = next((n, a.strip(), b.strip()) for n, (a, b) in enumerate(lines, 1) if a != b)
    return Mutant(str(file.relative_to(ROOT)), line, was, becomes, after)
