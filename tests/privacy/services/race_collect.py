"""One file read by several real processes at once: ``python -m tests.privacy.services.race_collect`` prints facts as JSON."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from pathlib import Path
from typing import Any

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "r3al_project.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, connections  # noqa: E402

from privacy.models import Choice, Consent, Decision, Person, PrivacyBudget, Purpose, RewardSignal  # noqa: E402
from privacy.services.records import import_file  # noqa: E402
from tests.privacy.services.diary_files import diary_version, points, write_csv  # noqa: E402

PROCESSES, PEOPLE, ROWS = 3, 4, 250  # few people, so that only rows are contended for, once these are known
FORK = multiprocessing.get_context("fork")


def main() -> None:
    settings.MIGRATION_MODULES = dict.fromkeys((app.split(".")[-1] for app in settings.INSTALLED_APPS), None)
    call_command("migrate", run_syncdb=True, verbosity=0)
    diary_version()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for i in range(PEOPLE) for row in points(f"person {i}", ROWS)]
        # Half of the processes meet the people in the other direction.
        files = [write_csv(Path(folder) / f"{n}.csv", part) for n, part in (("up", rows), ("down", rows[::-1]))]
        reports = in_processes(files)
    tables = (Person, PrivacyBudget, Consent, Decision, Choice, RewardSignal)
    counts = {model.__name__: model.objects.count() for model in tables}
    print(json.dumps({"vendor": connection.vendor, "reports": reports, "counts": counts}))


def in_processes(files: list[Path]) -> list[Any]:
    """Every process reads its file as soon as all are ready; their reports, or what went wrong."""
    barrier, results = FORK.Barrier(PROCESSES), FORK.Queue()

    def read(number: int) -> None:
        import_file.IMPORT_CHUNK = 40
        barrier.wait(20)
        try:
            path = files[number % len(files)]
            report = import_file.signals_import(
                path=path,
                loop_version=diary_version(),
                consents=[Purpose.TRAINING],
                rejects_path=path.with_suffix(f".{number}"),
            )
            results.put(report.as_dict())
        except Exception as error:
            results.put(f"{type(error).__name__}: {error}")

    connections.close_all()  # a connection must not be shared with a fork
    processes = [FORK.Process(target=read, args=(i,), daemon=True) for i in range(PROCESSES)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(20)
    return found


if __name__ == "__main__":
    main()
