"""What an anonymisation released, as people read it: rows with names instead of arrays, or statistics with their intervals."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import TextIO

import numpy as np

from core.errors import Conflict
from privacy.engine.anonymize.protocol import ReleasedRows, Statistics
from privacy.models import Release
from privacy.services.anonymize.request import anonymized
from privacy.services.anonymize.run import charged_request, release_technique


def export_rows_write(*, release: Release, out: TextIO) -> None:
    """Write a release's rows as CSV with a line of names. Raises Conflict for one that has none."""
    table = _table(release)
    if not isinstance(table, ReleasedRows):
        raise Conflict(f"{release} holds statistics, not rows")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.names)
    writer.writerows(table.rows)


def statistics(release: Release) -> Statistics:
    """Return the statistics of a release, by name, as its technique states them. Raises Conflict for one that holds rows."""
    table = _table(release)
    if isinstance(table, ReleasedRows):
        raise Conflict(f"{release} holds rows, not statistics")
    return table


def holds_statistics(release: Release) -> bool:
    """Return whether an anonymisation released statistics instead of rows."""
    return is_anonymization(release) and release_technique(release).statistics


def is_anonymization(release: Release) -> bool:
    """Return whether a release is an anonymisation that people read, not one that training reads."""
    return bool(release.parameters.get("kind") == "anonymization")


def _table(release: Release) -> ReleasedRows | Statistics:
    arrays = _arrays(release)
    return release_technique(release).table(charged_request(release), arrays)


def _arrays(release: Release) -> Mapping[str, np.ndarray]:
    if not is_anonymization(release):
        raise Conflict(f"{release} is no anonymisation; its output is read by training")
    found = anonymized(release)
    if found is None:
        raise Conflict(f"{release} is {release.state}; it has no output to read")
    return found
