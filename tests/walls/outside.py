"""Product code imports the product, the standard library and the declared dependencies, and each by its name."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.walls.imports import FLOORS, points_up, unplaced_packages
from tests.walls.source import ENTRANCES, OUTSIDE, config, imported, linted_packages, packages, parsed, sources

IMPORT_NAMES = {  # distribution -> the package that it installs, where the names differ
    "django-axes": "axes",
    "django-cors-headers": "corsheaders",
    "django-environ": "environ",
    "django-rest-knox": "knox",
    "django-unfold": "unfold",
    "djangorestframework": "rest_framework",
    "scikit-learn": "sklearn",
}
LOADERS = {
    "import_module", "__import__", "import_string", "get_model", "get_app_config", "autodiscover_modules", "find_spec",
    "spec_from_file_location", "module_from_spec", "exec_module", "run_module", "run_path", "resolve_name",
}  # fmt: skip
MAY_LOAD = {
    "privacy.engine.anonymize.registry"
}  # a technique is added as one file, which the registry finds by its name
HEAVY = ("opendp", "scipy", "sklearn", "jax", "optax")
HEAVY_PLACES = {  # each imports inside the function that a worker or a command calls
    "loops.engine.rows.assignment_interval",  # quantiles of intervals
    "privacy.engine.dp.mechanisms",  # OpenDP draws the noise
    "simulator.step",  # the normal distribution of simulated answers
    "training.engine.generators.autoregressive",  # a network
    "training.engine.generators.diffusion",  # a network
    "training.engine.generators.encoding",  # normal scores
    "training.engine.generators.gan",  # a network
    "training.engine.generators.mixture",  # sparse indicators of cells
    "training.engine.generators.networks",  # layers of networks
    "training.engine.generators.training_loop",  # trains networks
    "training.engine.generators.vae",  # a network
    "training.engine.audit.bounds",  # quantiles of intervals
    "training.engine.intervals.clustered",  # quantiles of intervals
    "training.engine.scores.boosting",  # boosted trees
    "training.engine.scores.diversity",  # the binomial distribution
    "training.engine.scores.measures",  # quantiles of intervals
    "training.services.gate",  # the p-value of a gate
}
_DOTTED = re.compile(r"[a-z]\w*\.[\w.]*")  # also the beginning of an f-string


def foreign_imports(root: Path) -> list[str]:
    """Return ``file:line module`` for each import of something that is neither product, standard library nor declared."""
    allowed = {*packages(root), *_declared(root), *sys.stdlib_module_names}
    entrances = [root / name for name in ENTRANCES if (root / name).exists()]
    return [
        f"{path.relative_to(root)}:{line} {module}"
        for path in [*entrances, *(path for _, path in sources(root))]
        for module, line in imported(parsed(path))
        if module.split(".")[0] not in allowed | ({"bootstrap"} if path in entrances else set())
    ]


def _declared(root: Path) -> Iterator[str]:
    for dependency in config(root)["project"]["dependencies"]:
        name = re.split(r"[^\w-]", dependency)[0]
        yield IMPORT_NAMES.get(name, name.replace("-", "_"))


def stray_sources(root: Path) -> list[str]:
    """Return each Python file or folder at the top that nothing declares, and each inner folder without ``__init__.py``."""
    known = {*linted_packages(root), *OUTSIDE, *ENTRANCES}
    top = {p.name for p in [*root.glob("*.py"), *(p for p in root.glob("*/") if _holds_python(p))]}
    inside = {path.parent for _, path in sources(root)}
    return sorted(top - known) + sorted(
        str(folder.relative_to(root)) for folder in inside if not (folder / "__init__.py").exists()
    )


def _holds_python(folder: Path) -> bool:
    return not folder.name.startswith(".") and folder.name != "var" and any(folder.rglob("*.py"))


def dynamic_imports(root: Path) -> list[str]:
    """Return ``module:line name`` for each use of a function that loads a module or a model by a string.

    Migrations ask for the models of their time by ``get_model``; theirs count when they ask a floor above.
    """
    return [
        f"{name}:{node.lineno} {found}"
        for name, path in sources(root)
        if name not in MAY_LOAD
        for node in ast.walk(parsed(path))
        if isinstance(node, (ast.Name, ast.Attribute, ast.ImportFrom, ast.Import)) and (found := _loader(node))
        if not (found == "get_model" and ".migrations." in name)
    ]


def _loader(node: ast.Name | ast.Attribute | ast.ImportFrom | ast.Import) -> str:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return next((alias.name for alias in node.names if alias.name in LOADERS | {"importlib", "runpy"}), "")
    name = node.id if isinstance(node, ast.Name) else node.attr
    if ast.unparse(node) == "sys.modules":
        return "sys.modules"
    return name if name in LOADERS else ""


def upward_strings(root: Path) -> list[str]:
    """Return ``module:line string`` for each dotted string, or app given to ``get_model``, of a floor above one's own."""
    unplaced = unplaced_packages(root)
    return [
        f"{name}:{line} {text!r}"
        for name, path in sources(root)
        if name.split(".")[0] not in unplaced
        for text, line in _strings(parsed(path))
        if text.split(".")[0] in FLOORS and points_up(name, text)
    ]


def _strings(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
            yield node.value, node.lineno
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "get_model" and node.args:
            app = node.args[0]
            if isinstance(app, ast.Constant) and isinstance(app.value, str):
                yield app.value, node.lineno


def heavy_imports(root: Path) -> list[str]:
    """Return ``module:line library`` for each import of a heavy library at the top of a module, or outside ``HEAVY_PLACES``."""
    return [
        f"{name}:{line} {library}"
        for name, path in sources(root)
        for library, line in imported(parsed(path))
        if library.split(".")[0] in HEAVY
        if name not in HEAVY_PLACES or line not in _lines_of_functions(parsed(path))
    ]


def _lines_of_functions(tree: ast.Module) -> set[int]:
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for line in range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)
    }
