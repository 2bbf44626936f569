"""The walls of the house hold, and a fault of each kind that is planted in a copy of the tree is caught."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import ROOT
from tests.walls import documents, engines, imports, names
from tests.walls.source import linted_packages, packages

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
    "training/engine/corner.py": "corner",
    "r3al_project/attic.py": "attic",
    "jobs/cellar.py": "cellar",
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the product in which every kind of fault was planted."""
    copy = tmp_path_factory.mktemp("copy")
    for package in packages(ROOT):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for path, line, _ in IMPORT_FAULTS.values():
        with (copy / path).open("a") as file:
            file.write(f"\n{line}\n")
    for path in NEW_MODULES:
        (copy / path).parent.mkdir(exist_ok=True)
        (copy / path).write_text("")
    with (copy / "loops/engine/reward.py").open("a") as file:
        file.write("\nREWARDS = open('rewards.csv').read()\n\n\nclass Job:\n    '''The same by another name.'''\n")
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


class TestContracts:
    def test_they_know_every_package(self) -> None:
        assert linted_packages(ROOT) == packages(ROOT)

    @pytest.mark.parametrize("kind", IMPORT_FAULTS)
    def test_an_import_that_they_forbid_is_named(self, kind: str, said: str) -> None:
        assert IMPORT_FAULTS[kind][2] in said

    @pytest.mark.parametrize("path", NEW_MODULES)
    def test_a_module_that_none_of_them_names_is_named(self, path: str, said: str) -> None:
        assert NEW_MODULES[path] in said


class TestImportGraph:
    def test_no_arrow_points_up_and_there_is_no_circle(self) -> None:
        assert imports.upward_arrows(ROOT) == []
        assert imports.circles(ROOT) == []

    def test_planted_arrows_and_circles_are_seen(self, planted: Path) -> None:
        assert "training.services.pool -> deployments.models" in imports.upward_arrows(planted)
        assert any({"loops.models", "loops.services"} <= set(circle) for circle in imports.circles(planted))


class TestEngines:
    def test_they_open_no_file(self, planted: Path) -> None:
        assert engines.opened_files(ROOT) == []
        assert [found.split(":")[0] for found in engines.opened_files(planted)] == ["loops.engine.reward"]


class TestNames:
    def test_none_is_defined_twice(self, planted: Path) -> None:
        assert names.names_defined_twice(ROOT) == {}
        assert names.names_defined_twice(planted) == {"Job": ["jobs.models", "loops.engine.reward"]}


class TestDocuments:
    def test_what_they_name_is_there(self, planted: Path) -> None:
        assert documents.missing_paths(ROOT) == []
        assert documents.missing_paths(planted) == ["docs/odd.md: gone.md", "docs/odd.md: privacy/engine/nowhere.py"]
        assert documents.missing_symbols(ROOT) == []
        assert documents.missing_symbols(planted) == [
            "docs/odd.md: NoSuchThing",
            "docs/odd.md: privacy.engine.dp.nothing",
        ]

    def test_their_sentences_can_be_read_at_once(self, planted: Path) -> None:
        lengths = sorted(words for words, _, _ in documents.sentences(ROOT))
        assert lengths[-1] <= documents.LONGEST_SENTENCE
        assert lengths[len(lengths) * 9 // 10] <= documents.NINETIETH
        assert max(documents.sentences(planted))[0] > documents.LONGEST_SENTENCE

    def test_no_docstring_points_at_its_neighbour(self, planted: Path) -> None:
        assert documents.pointing_docstrings(ROOT) == []
        assert [found.split(":")[0] for found in documents.pointing_docstrings(planted)] == ["loops.engine.reward"]
