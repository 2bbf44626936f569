"""What only workers need is never loaded by the web process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import ROOT
from tests.walls.outside import HEAVY
from tests.walls.source import modules, told

_PROBE = """
import json, sys
{imports}
print(json.dumps(sorted(n for n in {heavy} if n in sys.modules)))
"""
WEB = """
import r3al_project.rsgi
from django.contrib import admin
from django.urls import get_resolver, reverse
assert len(get_resolver().url_patterns) > 2 and reverse("admin:index") == "/admin/"
assert len(admin.site._registry) > 10
"""
DEMANDING = """
import scipy.special
"""
# Also what the settings name by a string, and what a view imports inside a function.
EVERYTHING = "\n".join(["import django; django.setup()", *(f"import {name}" for name, _ in modules(ROOT))])
MEND = "import the library inside the function of an engine or a service that only workers call"


def loaded(imports: str, tmp_path: Path, tree: Path = ROOT) -> list[str]:
    """Return the heavy libraries that a fresh interpreter loads with some imports. The project has what the tree lacks."""
    run = subprocess.run(
        [sys.executable, "-c", _PROBE.format(imports=imports, heavy=HEAVY)],
        cwd=tree,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "R3AL_VAR_DIR": str(tmp_path / "var"),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: list[str] = json.loads(run.stdout.splitlines()[-1])
    return found


def test_the_web_process_with_all_its_urls_loads_nothing_heavy(tmp_path: Path) -> None:
    found = loaded(WEB, tmp_path)
    assert found == [], told(found, MEND)


def test_no_module_of_the_product_loads_anything_heavy_when_it_is_imported(tmp_path: Path) -> None:
    found = loaded(EVERYTHING, tmp_path)
    assert found == [], told(found, MEND)


def test_the_probe_sees_what_is_loaded(tmp_path: Path) -> None:
    assert "scipy" in loaded(DEMANDING, tmp_path)


def test_the_probe_sees_what_a_module_loads_that_only_the_settings_name(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "r3al_project", tmp_path / "r3al_project", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "r3al_project/pages/sidebar.py").open("a") as file:
        file.write("\nimport scipy.stats\n")
    assert "scipy" in loaded(EVERYTHING, tmp_path, tree=tmp_path)


@pytest.mark.parametrize("module", ["r3al_project.celery", "r3al_project.turns.tasks", "jobs.tasks"])
def test_a_worker_before_its_fork_loads_nothing_heavy(module: str, tmp_path: Path) -> None:
    imports = [
        "import django; django.setup()",
        f"import {module}",
        "from r3al_project.celery import app; app.loader.import_default_modules()",
    ]
    found = loaded("\n".join(imports), tmp_path)
    assert found == [], told(found, MEND)
