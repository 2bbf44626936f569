"""Erasing people whom other processes are deciding for, hearing and rewarding: nothing is left and nothing fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.privacy.services.test_charges_race import ROOT, database

pytestmark = pytest.mark.embedded  # it has databases of its own


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_nothing_is_added_to_somebody_who_is_being_erased(kind: str) -> None:
    with tempfile.TemporaryDirectory(prefix="r3al-race-") as home, database(kind, Path(home)) as url:
        run = subprocess.run(
            [sys.executable, "-m", "tests.deployments.services.race_erasure"],
            cwd=ROOT, env={**os.environ, "DATABASE_URL": url, "R3AL_VAR_DIR": home}, capture_output=True, text=True,
            timeout=240, check=False,
        )  # fmt: skip
    assert run.returncode == 0, run.stderr
    facts = json.loads(run.stdout.splitlines()[-1])
    assert facts["vendor"] == kind
    told = facts["told"]
    assert not [what for what in told if what.startswith("Error")], told
    assert told["erased"] == 24 and min(told[what] for what in ("heard", "decided", "rewarded", "closed")) > 0, told
    left = {
        name: facts[name]
        for name in ("DataKey", "Signal", "Decision", "ServedDecision", "ServingState", "RewardSignal")
    }
    assert left == dict.fromkeys(left, 0)
