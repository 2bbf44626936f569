"""The walls of the house hold, and a fault of each kind that is planted in a copy of the tree is caught."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.system import ROOT
from tests.walls import documents, engines, imports, names, outside
from tests.walls.source import linted_packages, packages, told

LINT = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
# Each fault as (file, line that is added to it, what the contracts say of it).
IMPORT_FAULTS = {
    "a floor imports one above": (
        "training/services/pool.py", "import deployments.models", "training.services.pool -> deployments.models",
    ),
    "the ground imports the roof": ("core/errors.py", "import r3al_project.celery", "core.errors -> r3al_project.celery"),
    "a selector imports a service": (
        "privacy/selectors/vault.py", "import privacy.services.vault.append",
        "privacy.selectors.vault -> privacy.services.vault.append",
    ),
    "an engine imports the framework": (
        "loops/engine/features.py", "import django.db", "loops.engine.features -> django",
    ),
    "an engine imports a database": (
        "privacy/engine/dp/mechanisms.py", "import sqlite3", "privacy.engine.dp.mechanisms -> sqlite3",
    ),
    "an engine imports the network": (
        "training/engine/pipeline.py", "import socket", "training.engine.pipeline -> socket",
    ),
    "the auditor's room imports another": (
        "privacy/engine/dp/accounting.py", "import privacy.engine.moments.rows",
        "privacy.engine.dp.accounting -> privacy.engine.moments.rows",
    ),
    "a room of services imports one above": (
        "deployments/services/serving/latency.py", "import deployments.services.rollouts.slots",
        "deployments.services.serving.latency -> deployments.services.rollouts.slots",
    ),
    "a page imports the simulator": (
        "r3al_project/pages/privacy.py", "import simulator.people", "r3al_project.pages.privacy -> simulator.people",
    ),
    "a model imports a service": ("loops/models.py", "import loops.services", "loops.models -> loops.services"),
    "a floor imports the theme": ("training/admin/pool.py", "import unfold.admin", "training.admin.pool -> unfold"),
    "turns import a page": (
        "r3al_project/turns/selectors.py", "import r3al_project.pages.sidebar",
        "r3al_project.turns.selectors -> r3al_project.pages.sidebar",
    ),
}  # fmt: skip
NEW_MODULES = {  # a module, or a room, that no contract names
    "privacy/odds.py": "odds",
    "privacy/services/ends/__init__.py": "ends",
    "privacy/engine/dp/loft.py": "loft",
    "privacy/engine/moments/niche.py": "niche",
    "training/engine/corner.py": "corner",
    "training/services/eaves.py": "eaves",
    "r3al_project/attic.py": "attic",
    "r3al_project/pages/alcove.py": "alcove",
    "r3al_project/turns/landing.py": "landing",
    "r3al_project/ops/shed.py": "shed",
    "r3al_project/processes/boiler.py": "boiler",
    "jobs/cellar.py": "cellar",
    "core/crypt.py": "crypt",
    "simulator/stage.py": "stage",
}
ENGINE_FAULTS = {  # a line of an engine, and what the wall says of it
    "REWARDS = open('rewards.csv').read()": "open",
    "np.load('x')": "opens a file by load",
    "np.save('x', 1)": "opens a file by save",
    "np.savez('x')": "opens a file by savez",
    "np.memmap('x')": "opens a file by memmap",
    "from numpy import savetxt": "imports the name savetxt",
    "import numpy as xp": "imports numpy under the name xp",
    "from io import StringIO": "imports io",
    "gzip.open('x')": "opens a file by open",
    "p.open()": "opens a file by open",
    "p.read_text()": "opens a file by read_text",
    "getattr(np, 'lo' + 'ad')": "getattr",
    **{f"import {name}": f"imports {name}" for name in (
        "pickle", "shelve", "dbm", "asyncio", "multiprocessing", "ctypes", "time", "random", "gzip", "pandas", "collections",
        "loops.intake.files",
    )},
    "datetime.now()": "reads the clock by now",
    "datetime.utcnow()": "reads the clock by utcnow",
    "date.today()": "reads the clock by today",
    "sys.argv": "looks at the process by sys.argv",
    "np.random.normal()": "draws from the hidden state of np.random",
    "luck = np.random": "draws from the hidden state of np.random",
    "np.random.default_rng()": "no seed for np.random.default_rng",
    "np.random.default_rng(seed=None)": "no seed for np.random.default_rng",
}  # fmt: skip
OUTSIDE_FAULTS = {  # kind -> (wall, file, line that is added to it, what the wall says)
    "a module at the top": (outside.foreign_imports, "core/errors.py", "import helpers", "core/errors.py:{} helpers"),
    "a folder that is no package": (
        outside.foreign_imports, "core/digests.py", "import lore.tales", "core/digests.py:{} lore.tales",
    ),
    "the tests": (outside.foreign_imports, "jobs/leases.py", "import tests.races", "jobs/leases.py:{} tests.races"),
    "the benchmarks": (
        outside.foreign_imports, "simulator/people.py", "from benchmarks import cohorts", "simulator/people.py:{} benchmarks",
    ),
    "an undeclared library": (
        outside.foreign_imports, "training/tasks.py", "import torch", "training/tasks.py:{} torch",
    ),
    "a relative import": (outside.foreign_imports, "privacy/tasks.py", "from . import apps", "privacy/tasks.py:{} ."),
    "a library in a migration": (
        outside.foreign_imports, "jobs/migrations/0001_initial.py", "import pandas", "jobs/migrations/0001_initial.py:{} pandas",
    ),
    "a module by a string": (
        outside.dynamic_imports, "privacy/selectors/keys.py", "import_module('deployments.models')",
        "privacy.selectors.keys:{} import_module",
    ),
    "a module by a string under another name": (
        outside.dynamic_imports, "privacy/selectors/budgets.py", "from importlib import import_module as found",
        "privacy.selectors.budgets:{} import_module",
    ),
    "a module among those loaded": (
        outside.dynamic_imports, "privacy/selectors/releases.py", "sys.modules['deployments.models']",
        "privacy.selectors.releases:{} sys.modules",
    ),
    "a model by a string": (
        outside.dynamic_imports, "loops/services.py", "apps.get_model('loops', 'LoopSpec')", "loops.services:{} get_model",
    ),
    "an upward string": (
        outside.upward_strings, "privacy/selectors/retention.py", "f'deployments.{1}'",
        "privacy.selectors.retention:{} 'deployments.'",
    ),
    "a key to a model above": (
        outside.upward_strings, "privacy/models/keys.py", "models.ForeignKey('deployments.Slot')",
        "privacy.models.keys:{} 'deployments.Slot'",
    ),
    "a model of a floor above in a migration": (
        outside.upward_strings, "loops/migrations/0001_initial.py", "apps.get_model('deployments', 'Slot')",
        "loops.migrations.0001_initial:{} 'deployments'",
    ),
    "a heavy library at the top of a page": (
        outside.heavy_imports, "r3al_project/pages/sidebar.py", "import scipy.stats", "r3al_project.pages.sidebar:{} scipy.stats",
    ),
    "a heavy library at the top of its place": (
        outside.heavy_imports, "training/services/gate.py", "import scipy.stats", "training.services.gate:{} scipy.stats",
    ),
    "a heavy library inside a view": (
        outside.heavy_imports, "r3al_project/api/models.py", "def view(): import opendp.mod",
        "r3al_project.api.models:{} opendp.mod",
    ),
}  # fmt: skip
STRAY = {
    "helpers.py": "helpers.py",
    "lore/tales.py": "lore",
    "core/nook/tale.py": "core/nook",
    "annex/__init__.py": "annex",
}
DOUBLES = """
class Reel:
    class Job:
        'The same by another name.'
if True:
    class Turn: ...
def deploy(): ...
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the product in which every kind of fault was planted."""
    copy = tmp_path_factory.mktemp("copy")
    for package in packages(ROOT):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    added = [(path, line) for path, line, _ in IMPORT_FAULTS.values()]
    added += [(path, line) for _, path, line, _ in OUTSIDE_FAULTS.values()]
    added += [("loops/engine/reward.py", line) for line in [*ENGINE_FAULTS, DOUBLES]]
    for path, line in added:
        with (copy / path).open("a") as file:
            file.write(f"\n{line}\n")
    for path in [*NEW_MODULES, *STRAY]:
        (copy / path).parent.mkdir(exist_ok=True)
        (copy / path).write_text("")
    (copy / "annex/__init__.py").write_text("import core.errors\n")
    (copy / "docs").mkdir()
    (copy / "docs/odd.md").write_text(
        "See `privacy/engine/nowhere.py`, `privacy.engine.dp.nothing`, `NoSuchThing` and [more](gone.md).\n\n"
        + "word " * (documents.LONGEST_SENTENCE + 1) + "end.\n"
    )  # fmt: skip
    return copy


@pytest.fixture(scope="module")
def said(planted: Path) -> str:
    """What the contracts say of the copy."""
    run = subprocess.run(LINT, cwd=planted, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    return run.stdout.partition("Broken contracts")[2]


@cache
def _found(wall: Callable[[Path], list[str]], root: Path) -> list[str]:
    """Return what a wall says of the copy, asked once."""
    return wall(root)


def _line(path: Path, text: str) -> int:
    """Return the last line that is this text."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return len(lines) - lines[::-1].index(text)


class TestContracts:
    def test_they_know_every_package(self, planted: Path) -> None:
        assert linted_packages(ROOT) == packages(ROOT), "name each package in root_packages of pyproject.toml"
        assert set(packages(planted)) - set(linted_packages(planted)) == {"annex"}

    @pytest.mark.parametrize("kind", IMPORT_FAULTS)
    def test_an_import_that_they_forbid_is_named(self, kind: str, said: str) -> None:
        assert IMPORT_FAULTS[kind][2] in said

    @pytest.mark.parametrize("path", NEW_MODULES)
    def test_a_module_that_none_of_them_names_is_named(self, path: str, said: str) -> None:
        assert re.search(rf"\b{NEW_MODULES[path]}\b", said)


class TestImportGraph:
    def test_no_arrow_points_up_and_there_is_no_circle(self) -> None:
        up = imports.upward_arrows(ROOT)
        assert up == [], told(up, "move what is imported down, or hand it over as an argument")
        round_ = [" <-> ".join(group) for group in imports.circles(ROOT)]
        assert round_ == [], told(round_, "move what both need into a module below them")

    def test_every_package_stands_on_a_floor(self, planted: Path) -> None:
        unplaced = imports.unplaced_packages(ROOT)
        assert unplaced == [], told(unplaced, "name it in FLOORS of tests/walls/imports.py and in pyproject.toml")
        assert imports.unplaced_packages(planted) == ["annex"]

    def test_planted_arrows_and_circles_are_seen(self, planted: Path) -> None:
        assert "training.services.pool -> deployments.models" in imports.upward_arrows(planted)
        assert any({"loops.models", "loops.services"} <= set(circle) for circle in imports.circles(planted))


class TestEngines:
    def test_they_are_arithmetic_on_what_they_are_given(self) -> None:
        found = engines.impure_engines(ROOT)
        assert found == [], told(
            found, "read files, clocks and seeds in a service; allow a new import in tests/walls/engines.py"
        )

    def test_nothing_is_allowed_that_nobody_uses(self) -> None:
        found = engines.needless_exemptions(ROOT)
        assert found == [], told(found, "delete it from EXEMPT in tests/walls/engines.py")

    @pytest.mark.parametrize("line", ENGINE_FAULTS)
    def test_a_planted_fault_is_named(self, line: str, planted: Path) -> None:
        at = _line(planted / "loops/engine/reward.py", line)
        assert f"loops.engine.reward:{at} {ENGINE_FAULTS[line]}" in _found(engines.impure_engines, planted)

    def test_what_one_file_may_do_another_may_not(self, planted: Path) -> None:
        found = [
            line for line in _found(engines.impure_engines, planted) if not line.startswith("loops.engine.reward:")
        ]
        assert {line.split(":")[0] for line in found} == {  # the import faults alone
            "core.errors", "loops.engine.features", "privacy.engine.dp.mechanisms", "training.engine.pipeline",
        }  # fmt: skip


class TestOutside:
    def test_only_the_product_the_standard_library_and_declared_libraries_are_imported(self) -> None:
        found = outside.foreign_imports(ROOT)
        assert found == [], told(
            found, "declare the library in pyproject.toml, or move the code into a package and name it whole"
        )

    def test_every_source_at_the_top_is_known(self, planted: Path) -> None:
        found = outside.stray_sources(ROOT)
        assert found == [], told(
            found, "move it into a package, give the folder an __init__.py, or name it in the walls"
        )
        assert set(outside.stray_sources(planted)) == set(STRAY.values())

    def test_modules_and_models_are_imported_by_name(self) -> None:
        found = outside.dynamic_imports(ROOT)
        assert found == [], told(found, "import it by name, so that the import graph sees it")

    def test_no_string_names_a_floor_above(self) -> None:
        found = outside.upward_strings(ROOT)
        assert found == [], told(found, "let the floor above hand over what it knows")

    def test_heavy_libraries_are_imported_inside_the_functions_of_workers(self) -> None:
        found = outside.heavy_imports(ROOT)
        assert found == [], told(found, "import it inside a function of an engine or a service named in HEAVY_PLACES")

    @pytest.mark.parametrize("kind", OUTSIDE_FAULTS)
    def test_a_planted_fault_is_named(self, kind: str, planted: Path) -> None:
        wall, path, line, said = OUTSIDE_FAULTS[kind]
        assert said.format(_line(planted / path, line)) in _found(wall, planted)


class TestNames:
    def test_none_is_defined_twice(self, planted: Path) -> None:
        found = [f"{name}: {', '.join(where)}" for name, where in names.names_defined_twice(ROOT).items()]
        assert found == [], told(found, "rename one, or begin its name with _ where only its module uses it")
        assert names.names_defined_twice(planted) == {
            "Job": ["jobs.models", "loops.engine.reward.Reel"],
            "Turn": ["loops.engine.reward", "r3al_project.turns.models"],
            "deploy": ["loops.engine.reward", "r3al_project.turns.deploy_stage"],
        }


class TestDocuments:
    def test_what_they_name_is_there(self, planted: Path) -> None:
        found = documents.missing_paths(ROOT)
        assert found == [], told(found, "name a path that exists, or take it out of the document")
        assert documents.missing_paths(planted) == ["docs/odd.md: gone.md", "docs/odd.md: privacy/engine/nowhere.py"]
        found = documents.missing_symbols(ROOT)
        assert found == [], told(found, "name a symbol that exists, or take it out of the document")
        assert documents.missing_symbols(planted) == [
            "docs/odd.md: NoSuchThing",
            "docs/odd.md: privacy.engine.dp.nothing",
        ]

    def test_their_sentences_can_be_read_at_once(self, planted: Path) -> None:
        sentences = documents.sentences(ROOT)
        long = [
            f"{document}: {sentence}" for words, document, sentence in sentences if words > documents.LONGEST_SENTENCE
        ]
        assert long == [], told(long, f"split it; a sentence has at most {documents.LONGEST_SENTENCE} words")
        lengths = sorted(words for words, _, _ in sentences)
        assert lengths[len(lengths) * 9 // 10] <= documents.NINETIETH, (
            "shorten the longest; python -m tests.walls.documents --all lists them"
        )
        assert max(documents.sentences(planted))[0] > documents.LONGEST_SENTENCE

    def test_no_docstring_points_at_its_neighbour(self, planted: Path) -> None:
        found = documents.pointing_docstrings(ROOT)
        assert found == [], told(found, "say what it does, without its neighbour")
        assert [found.split(":")[0] for found in documents.pointing_docstrings(planted)] == ["loops.engine.reward"]
