"""Engines compute on what they are given: they import arithmetic alone, open no file, read no clock and bring no luck.

The rules hold for ``*/engine`` and for the modules of ``core`` that engines reach. A new import of an engine is a decision: one
line in ``ALLOWED``, or in ``EXEMPT`` where one file alone needs it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.walls.imports import import_graph
from tests.walls.source import modules, packages, parsed

ALLOWED = {
    "__future__", "bisect", "collections.abc", "dataclasses", "datetime", "decimal", "difflib", "fractions", "functools",
    "hashlib", "itertools", "math", "operator", "re", "statistics", "struct", "typing",
    "numpy", "numpy.typing", "scipy.special",
    "opendp.domains", "opendp.measurements", "opendp.metrics", "opendp.mod",
}  # fmt: skip
EXEMPT: dict[str, set[str]] = {
    "core.arrays": {"io", "load", "savez"},  # arrays as bytes in memory
    "core.canonical_json": {"json", "uuid"},  # text in memory, and what an identifier is
    "core.identifiers": {"unicodedata"},  # normal forms of text in memory
    "core.variant_registry": {"getattr"},  # checks that a variant has the methods of its protocol
    "loops.engine.parse.loop": {"tomllib"},  # text in memory
    "loops.engine.rows.assignment_check": {"array"},  # numbers in memory, eight bytes each
    "loops.engine.rows.times": {"zoneinfo"},  # the offsets of named time zones, a table of the machine
    "loops.engine.rows.transforms": {"ast"},  # reads formulas without running them
    "privacy.engine.anonymize.local_dp": {"secrets"},  # privacy noise must not be predictable
    "privacy.engine.anonymize.registry": {"importlib", "import_module", "getattr"},  # finds techniques by file
    "privacy.engine.dp.accounting": {"sys"},  # limits of floating point
    "privacy.engine.dp.mechanisms": {"sys"},  # limits of floating point
    "training.engine.generators.autoregressive": {"jax", "jax.numpy"},  # arithmetic of networks
    "training.engine.generators.diffusion": {"jax", "jax.numpy"},  # arithmetic of networks
    "training.engine.generators.gan": {"jax", "jax.numpy"},  # arithmetic of networks
    "training.engine.generators.mixture": {"scipy.sparse"},  # which cells each row is in
    "training.engine.generators.networks": {"jax", "jax.numpy"},  # arithmetic of networks
    "training.engine.generators.protocol": {"load", "save"},  # hands the state of a fit to whoever keeps it
    "training.engine.generators.training_loop": {"jax", "jax.numpy", "optax"},  # arithmetic of networks
    "training.engine.generators.vae": {"jax", "jax.numpy"},  # arithmetic of networks
    "privacy.engine.sealing": {
        "cryptography.exceptions", "cryptography.hazmat.primitives.ciphers.aead",
        "cryptography.hazmat.primitives.hashes", "cryptography.hazmat.primitives.kdf.hkdf",
        "secrets", "open",  # keys and nonces; a cipher opens what it sealed
    },
    "training.engine.scores.boosting": {"sklearn.ensemble", "threadpoolctl"},  # boosted trees, on one thread
}  # fmt: skip
BUILTINS = {
    "open",
    "exec",
    "eval",
    "compile",
    "__import__",
    "breakpoint",
    "input",
    "print",
    "getattr",
    "globals",
    "vars",
}
FILES = {
    "open", "open_file", "read_text", "read_bytes", "write_text", "write_bytes", "load", "loadtxt", "save", "savetxt", "savez",
    "savez_compressed", "genfromtxt", "fromfile", "fromregex", "tofile", "memmap", "open_memmap", "dump", "DataSource",
    "load_library", "ctypeslib", "lib",
}  # fmt: skip
CLOCKS = {"now", "utcnow", "today"}
SEEDED = {"default_rng", "SeedSequence"}  # each needs a seed
GENERATORS = SEEDED | {"Generator"}  # the names of np.random that draw nothing from its hidden state


def impure_engines(root: Path) -> list[str]:
    """Return ``module:line fault`` for each import, name or call of an engine that is not arithmetic."""
    ours = set(packages(root))
    return [
        f"{name}:{line} {fault}"
        for name, path in _engines(root)
        for fault, line in _faults(parsed(path), ours, EXEMPT.get(name, set()))
    ]


def needless_exemptions(root: Path) -> list[str]:
    """Return each module of ``EXEMPT`` that is no engine, and each allowance that its module does not use."""
    known, ours = dict(_engines(root)), set(packages(root))
    used = {
        name: {fault.split()[-1] for fault, _ in _faults(parsed(path), ours, set())} for name, path in known.items()
    }
    return [f"{name} {what}" for name, allowed in EXEMPT.items() for what in sorted(allowed - used.get(name, set()))]


def _engines(root: Path) -> list[tuple[str, Path]]:
    graph, known = import_graph(root), dict(modules(root))
    reached = {name for name in known if name.split(".")[1:2] == ["engine"]}
    left = list(reached)
    while left:
        new = {target for target in graph[left.pop()] if target.startswith("core.")} - reached
        reached |= new
        left += new
    return [(name, path) for name, path in known.items() if name in reached]


def _faults(tree: ast.Module, ours: set[str], exempt: set[str]) -> Iterator[tuple[str, int]]:
    drawn = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in GENERATORS}
    for node in ast.walk(tree):
        found = list[str]()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found = [*_modules(node, ours), *_names(node)]
        elif isinstance(node, ast.Name) and node.id in BUILTINS:
            found = [node.id]
        elif isinstance(node, ast.Attribute):
            found = [*_attribute(node, drawn)]
        elif isinstance(node, ast.Call) and _unseeded(node):
            found = [f"no seed for {ast.unparse(node.func)}"]
        yield from ((fault, node.lineno) for fault in found if fault.split()[-1] not in exempt)  # type: ignore[attr-defined]


def _modules(node: ast.Import | ast.ImportFrom, ours: set[str]) -> Iterator[str]:
    names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or "."]
    for name in names:
        package, *inside = name.split(".")
        if not (name in ALLOWED or package == "core" or (package in ours and inside[:1] == ["engine"])):
            yield f"imports {name}"


def _names(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom) and alias.name in BUILTINS | FILES | {"random", "import_module", "*"}:
            yield f"imports the name {alias.name}"
        if alias.name == "numpy" and alias.asname != "np":
            yield f"imports numpy under the name {alias.asname or alias.name}"


def _attribute(node: ast.Attribute, drawn: set[int]) -> Iterator[str]:
    whole = ast.unparse(node)
    if node.attr in FILES:
        yield f"opens a file by {node.attr}"
    elif node.attr in CLOCKS:
        yield f"reads the clock by {node.attr}"
    elif whole == "np.random" and id(node) not in drawn:
        yield "draws from the hidden state of np.random"
    elif whole.startswith("sys.") and whole.split(".")[1] != "float_info":
        yield f"looks at the process by {whole}"


def _unseeded(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    return name in SEEDED and (not given or any(isinstance(g, ast.Constant) and g.value is None for g in given))
