"""Run the tests that mirror a module against a changed copy of it. No file is changed: the copy is loaded in the file's place."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import tempfile
import traceback
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import IO, Literal, NoReturn

import pytest

from tests.mutants.sample import Mutant
from tests.system import ROOT

Outcome = Literal["killed", "out of time", "survived"]
WALL_PER_CPU = 30  # a loaded machine computes slowly; a test that waits for nothing must end all the same
_HEAVY = (
    "numpy",
    "scipy.stats",
    "scipy.optimize",
    "hypothesis",
    "django.db.models",
    "rest_framework.serializers",
    "unfold",
)
_ARGUMENTS = ("-q", "-x", "-n0", "--without-services", "--hypothesis-seed=0", "-pno:cacheprovider", "-pno:unfold")


def load_libraries() -> None:
    """Load the libraries once. Every trial is a fork, which loads the product anew."""
    for name in _HEAVY:
        with contextlib.suppress(ImportError):
            import_module(name)


def mirrored(path: str) -> list[str]:
    """Return the files of the tests that mirror a module.

    Those with its name come first, then the others of its folder, unless modules of several subjects share the folder.
    """
    module = Path(path)
    folder = ROOT / "tests" / module.parent
    own, every = sorted(folder.glob(f"test_{module.stem}*.py")), sorted(folder.glob("test_*.py"))
    shared = any(folder.glob("*/__init__.py"))
    tests = own if own and shared else [*own, *(file for file in every if file not in own)]
    return [str(file.relative_to(ROOT)) for file in tests]


def outcome(tests: list[str], mutant: Mutant | None, limit: int) -> tuple[Outcome, str]:
    """Run tests, against a mutant or against the unchanged tree, for at most ``limit`` seconds of processor time.

    Returns: the outcome, and what pytest printed.

    Raises:
        RuntimeError: no test was found.
    """
    with tempfile.TemporaryFile() as log:
        child = os.fork()
        if child == 0:
            _run(tests, mutant, limit, log)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        log.seek(0)
        said = log.read().decode(errors="replace")
    if os.WIFSIGNALED(status):
        return "out of time", said
    if os.WEXITSTATUS(status) == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise RuntimeError(f"There are no tests in {' '.join(tests)}. Add a file there that mirrors the module.")
    return "killed" if os.WEXITSTATUS(status) else "survived", said


def _run(tests: list[str], mutant: Mutant | None, limit: int, log: IO[bytes]) -> NoReturn:
    """Run pytest in this process, which is a fork, and end it."""
    code = 1
    try:
        os.setsid()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        signal.alarm(limit * WALL_PER_CPU)
        if mutant is not None:
            _plant(mutant)
        code = int(pytest.main([*_ARGUMENTS, *tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _plant(mutant: Mutant) -> None:
    """Load the mutant's source wherever its file is imported."""
    path, load = ROOT / mutant.path, SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        if Path(self.path) == path:
            return compile(mutant.source, str(path), "exec", dont_inherit=True)
        return load(self, fullname)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
