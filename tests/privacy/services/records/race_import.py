"""One file read by several real processes at once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from privacy.models import Choice, Consent, Decision, Person, PrivacyBudget, Purpose, RewardSignal
from privacy.services.records import import_file
from tests.factories.diary import diary_version, points, write_csv
from tests.fresh_database import create_tables
from tests.races import results

PROCESSES, PEOPLE, ROWS = 3, 4, 250  # few people, so that only rows are contended for, once these are known


def main() -> dict[str, Any]:
    create_tables()
    diary_version()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for i in range(PEOPLE) for row in points(f"person {i}", ROWS)]
        # Half of the processes meet the people in the other direction.
        files = [write_csv(Path(folder) / f"{n}.csv", part) for n, part in (("up", rows), ("down", rows[::-1]))]
        reports = results(lambda number: read(files[number % len(files)], number), PROCESSES)
    tables = (Person, PrivacyBudget, Consent, Decision, Choice, RewardSignal)
    return {"reports": reports, "counts": {model.__name__: model.objects.count() for model in tables}}


def read(path: Path, number: int) -> dict[str, Any]:
    """One process reads a file in small pieces; its report."""
    import_file.IMPORT_CHUNK = 40
    report = import_file.signals_import(
        path=path,
        loop_version=diary_version(),
        consents=[Purpose.TRAINING],
        rejects_path=path.with_suffix(f".{number}"),
    )
    return report.as_dict()
