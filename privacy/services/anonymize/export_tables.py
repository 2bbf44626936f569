"""What an anonymisation released, as people read it: rows with names instead of arrays, or statistics with their intervals."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, TextIO

import numpy as np

from core.errors import Conflict
from privacy.engine.anonymize.central import central_read
from privacy.engine.anonymize.columns import Column
from privacy.engine.anonymize.generalization import parents_of
from privacy.engine.anonymize.request import DIFFERENTIAL_PRIVACY, GENERALIZATION, K_ANONYMITY, PSEUDONYMIZATION
from privacy.models import Release
from privacy.services.anonymize.pseudonyms import pseudonym_text
from privacy.services.anonymize.request import anonymized
from privacy.services.anonymize.run import release_columns

Row = list[str]


def export_rows_write(*, release: Release, out: TextIO) -> None:
    """Write a release's rows as CSV with a line of names. Raises Conflict for one that has none."""
    arrays, columns = _arrays(release), release_columns(release)
    if is_central(release):
        raise Conflict(f"{release} holds statistics, not rows")
    header, rows = _TABLES[release.technique](release, arrays, columns)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)


def statistics(release: Release) -> dict[str, Any]:
    """The statistics of a central release: people (noised), means with intervals, histograms, quantiles. Raises Conflict."""
    if not is_central(release):
        raise Conflict(f"{release} holds rows, not statistics")
    summary: dict[str, Any] = asdict(central_read(_arrays(release), release_columns(release)))
    return summary


def is_central(release: Release) -> bool:
    """Whether a release is statistics."""
    return release.technique == DIFFERENTIAL_PRIVACY and release.parameters.get("mode") == "central"


def _arrays(release: Release) -> Mapping[str, np.ndarray]:
    if release.parameters.get("kind") != "anonymization":
        raise Conflict(f"{release} is no anonymisation; its output is read by training")
    found = anonymized(release)
    if found is None:
        raise Conflict(f"{release} is {release.state}; it has no output to read")
    return found


def _boxes(release: Release, arrays: Mapping[str, np.ndarray], columns: Sequence[Column]) -> tuple[Row, Iterator[Row]]:
    named = [parents_of(c) if release.technique == GENERALIZATION else c.categories for c in columns]
    rows = (
        [_box(names, low, high) for names, low, high in zip(named, lows, highs, strict=True)]
        for lows, highs in zip(arrays["low"].tolist(), arrays["high"].tolist(), strict=True)
    )
    return [c.name for c in columns], rows


def _box(names: tuple[str, ...], low: float, high: float) -> str:
    if names:
        return "|".join(names[int(low) : int(high) + 1])
    return f"{low:.6g}" if low == high else f"{low:.6g}..{high:.6g}"


def _plain(release: Release, arrays: Mapping[str, np.ndarray], columns: Sequence[Column]) -> tuple[Row, Iterator[Row]]:
    return [c.name for c in columns], (_values(row, columns) for row in arrays["values"].tolist())


def _pseudonymous(
    release: Release, arrays: Mapping[str, np.ndarray], columns: Sequence[Column]
) -> tuple[Row, Iterator[Row]]:
    epoch = release.parameters["epoch"]
    each = zip(arrays["pseudonym"].tolist(), arrays["day"].tolist(), arrays["values"].tolist(), strict=True)
    rows = (
        [pseudonym_text(epoch, name), date.fromordinal(day).isoformat(), *_values(values, columns)]
        for name, day, values in each
    )
    return ["pseudonym", "day", *(c.name for c in columns)], rows


def _values(values: Sequence[float], columns: Sequence[Column]) -> Row:
    return [c.categories[int(v)] if c.categories else f"{v:.6g}" for v, c in zip(values, columns, strict=True)]


_TABLES: dict[str, Callable[..., tuple[Row, Iterator[Row]]]] = {
    DIFFERENTIAL_PRIVACY: _plain,
    K_ANONYMITY: _boxes,
    GENERALIZATION: _boxes,
    PSEUDONYMIZATION: _pseudonymous,
}
