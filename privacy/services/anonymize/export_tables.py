"""Turn the output of an anonymisation into rows of text under column names, or into statistics with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

import numpy as np

from core.csv_output import CsvWriter
from core.errors import Conflict
from privacy.engine.anonymize.protocol import ReleasedRows, Statistics
from privacy.models import Release
from privacy.services.anonymize.compute import charged_request, release_technique
from privacy.services.anonymize.run import anonymized


def export_rows_write(*, release: Release, out: TextIO) -> None:
    """Write a release's rows as CSV with a header line, and no formulas for a spreadsheet to run.

    Raises Conflict for a release of statistics.
    """
    table = _table(release)
    if not isinstance(table, ReleasedRows):
        raise Conflict(f"{release} holds statistics, not rows; read its statistics instead")
    writer = CsvWriter(out, lineterminator="\n")
    writer.writerow(table.names)
    writer.writerows(table.rows)


def statistics(release: Release) -> Statistics:
    """Return the statistics of a release by name. Raises Conflict for a release of rows."""
    table = _table(release)
    if isinstance(table, ReleasedRows):
        raise Conflict(f"{release} holds rows, not statistics; export its rows instead")
    return table


def holds_statistics(release: Release) -> bool:
    """Return whether an anonymisation released statistics instead of rows."""
    return is_anonymization(release) and release_technique(release).statistics


def is_anonymization(release: Release) -> bool:
    """Return whether a release is an anonymisation for people to read, as opposed to a release for training."""
    return bool(release.parameters.get("kind") == "anonymization")


def _table(release: Release) -> ReleasedRows | Statistics:
    arrays = _arrays(release)
    return release_technique(release).table(charged_request(release), arrays)


def _arrays(release: Release) -> Mapping[str, np.ndarray]:
    if not is_anonymization(release):
        raise Conflict(f"{release} is not an anonymisation; its output is for training alone")
    arrays = anonymized(release)
    if arrays is None:
        raise Conflict(f"{release} is {release.state}; only a committed release has output to read")
    return arrays
