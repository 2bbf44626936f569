"""What only workers need is never loaded by the web process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import ROOT

HEAVY = ("opendp", "scipy", "sklearn", "jax", "optax")
_PROBE = """
import json, sys
{imports}
print(json.dumps(sorted(n for n in {heavy} if n in sys.modules)))
"""
WEB = """
import r3al_project.wsgi
from django.contrib import admin
from django.urls import get_resolver, reverse
assert len(get_resolver().url_patterns) > 2 and reverse("admin:index") == "/admin/"
assert len(admin.site._registry) > 10
"""
DEMANDING = """
import scipy.special
"""


def loaded(imports: str, tmp_path: Path) -> list[str]:
    """Which heavy libraries a fresh interpreter has loaded after some imports."""
    run = subprocess.run(
        [sys.executable, "-c", _PROBE.format(imports=imports, heavy=HEAVY)],
        cwd=ROOT,
        env={**os.environ, "R3AL_VAR_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: list[str] = json.loads(run.stdout.splitlines()[-1])
    return found


def test_the_web_process_with_all_its_urls_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded(WEB, tmp_path) == []


def test_the_probe_sees_what_is_loaded(tmp_path: Path) -> None:
    assert "scipy" in loaded(DEMANDING, tmp_path)


@pytest.mark.parametrize("module", ["r3al_project.celery", "r3al_project.turns.tasks", "jobs.tasks"])
def test_a_worker_before_its_fork_loads_nothing_heavy(module: str, tmp_path: Path) -> None:
    imports = [
        "import django; django.setup()",
        f"import {module}",
        "from r3al_project.celery import app; app.loader.import_default_modules()",
    ]
    assert loaded("\n".join(imports), tmp_path) == []
