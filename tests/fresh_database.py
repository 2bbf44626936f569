"""A script on a fresh database in a process of its own, beside the test's: what it returns comes back as facts.

``python -m tests.fresh_database MODULE [ARGUMENTS]`` runs ``MODULE.main(*ARGUMENTS)`` with Django set up on the database of
the environment. The process starts without open connections and test databases, so it may fork.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from tests.system import ROOT


def run_on(url: str, module: str, *arguments: object, seconds: float = 240, **env: str) -> dict[str, Any]:
    """Run a script on the database at ``url``, with folders and a broker of its own; the facts that its ``main`` returned.

    Among them is ``vendor``, the kind of database. ``env`` adds to the environment. Fails with the script's standard error.
    """
    with tempfile.TemporaryDirectory(prefix="r3al-fresh-") as home:
        run = subprocess.run(
            [sys.executable, "-m", "tests.fresh_database", module, *map(str, arguments)],
            cwd=ROOT, env={**os.environ, "DATABASE_URL": url, "REDIS_URL": "", "R3AL_VAR_DIR": home, **env},
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
    assert run.returncode == 0, run.stderr
    facts: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    assert url.startswith(facts["vendor"][: len("postgres")]), facts
    return facts


def create_tables() -> None:
    """Make all tables as the models say, without migrations: they are the same, and sooner there."""
    from django.conf import settings
    from django.core.management import call_command

    settings.MIGRATION_MODULES = dict.fromkeys((app.split(".")[-1] for app in settings.INSTALLED_APPS), None)
    call_command("migrate", run_syncdb=True, verbosity=0)


def main(module: str, *arguments: str) -> None:
    """Run a script here and print its facts as the last line."""
    import django
    from django.db import connection

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "r3al_project.settings")
    django.setup()
    facts = importlib.import_module(module).main(*arguments)
    print(json.dumps({"vendor": connection.vendor} | facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
