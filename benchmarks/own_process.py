"""Measure in a process of its own, on a fresh database that nothing else uses."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.collect import ROOT, database

_SECRETS = ("SECRET_KEY", "ANONYMIZATION_SALT")


def measured(kind: str, module: str, *arguments: str) -> dict[str, Any]:
    """Run a benchmark's module with arguments, and return the JSON object on its last line.

    Args: kind: of the database, sqlite or postgresql.
    Raises: SystemExit with what the process wrote to standard error, if it failed.
    """
    generated = {name: secrets.token_urlsafe(48) for name in _SECRETS}
    generated["DATA_MASTER_KEYS"] = "1:" + secrets.token_urlsafe(48)
    with tempfile.TemporaryDirectory(prefix="r3al-bench-") as home, database(kind, Path(home)) as url:
        run = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url, "R3AL_VAR_DIR": home, "HTTPS": "false", **generated},
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode:
        raise SystemExit(run.stderr)
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found
