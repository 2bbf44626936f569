"""The web process's start."""

from __future__ import annotations

import subprocess
import sys

from tests.system import ROOT


def test_what_was_imported_is_set_aside_and_collected_less_often() -> None:
    told = "import gc, r3al_project.rsgi; print(gc.get_freeze_count() > 10_000, gc.get_threshold()[0] > 700)"
    run = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "True"]
