"""What each technique makes of the records of the people who were charged; everything it needs stands in the log row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from core.errors import InsufficientData
from loops.engine.spec import LoopSpec
from privacy.engine.anonymize.central import central_release, central_totals
from privacy.engine.anonymize.columns import Column, columns_of
from privacy.engine.anonymize.generalization import generalize
from privacy.engine.anonymize.k_anonymity import mondrian
from privacy.engine.anonymize.local_dp import exactly, local_rows
from privacy.engine.anonymize.request import GENERALIZATION, K_ANONYMITY, PSEUDONYMIZATION
from privacy.engine.dp.accounting import calibrate, rho_of_pure
from privacy.engine.dp.coarse_counts import two_digits
from privacy.engine.dp.mechanisms import Ints, Totals, add_totals
from privacy.models import Release
from privacy.selectors.decisions import charged_person_ids
from privacy.services.anonymize.feature_records import FeatureRecords, feature_records
from privacy.services.anonymize.pseudonyms import pseudonyms
from privacy.services.releases.shards import shards_of

Arrays = dict[str, np.ndarray]
_ALL_ROWS = 1_000_000
_NO_RECORD = (
    "no record has all these fields, so nothing was released or charged; name fewer fields, or ask for another dataType"
)


def anonymize_compute(release: Release) -> tuple[Arrays, dict[str, Any]]:
    """Output, and further columns of the log. Raises InputError or InsufficientData for what the records do not allow."""
    kind = release.parameters.get("mode", release.technique)
    return _COMPUTED[kind](release, release_columns(release))


def release_columns(release: Release) -> tuple[Column, ...]:
    """The columns that a release was asked for."""
    spec: LoopSpec = release.loop_version.spec
    return columns_of(spec, [c["name"] for c in release.parameters["columns"]])


def _records(release: Release, columns: Sequence[Column], rows: int) -> FeatureRecords:
    found = shard_records(release, charged_person_ids(release=release), columns, rows)
    if not len(found.values):
        raise InsufficientData(_NO_RECORD)
    return found


def shard_records(release: Release, people: Ints, columns: Sequence[Column], rows: int) -> FeatureRecords:
    """The newest whole records of some of the people who were charged."""
    return feature_records(
        loop_version=release.loop_version, data_type=release.data_type, person_ids=people.tolist(), columns=columns, rows=rows
    )  # fmt: skip


def _central(release: Release, columns: tuple[Column, ...]) -> tuple[Arrays, dict[str, Any]]:
    totals = add_totals(_sums(release, columns))
    epsilon, delta = release.formal_epsilon or 0.0, release.formal_delta or 0.0
    sigma = calibrate(epsilon=epsilon, delta=delta, maximum=epsilon).sigma
    return central_release(totals, columns, sigma), {}


def _sums(release: Release, columns: tuple[Column, ...]) -> Iterator[Totals]:
    """Integer sums shard by shard of the people who have a whole record."""
    there = False
    for people in shards_of(charged_person_ids(release=release)):
        records = shard_records(release, people, columns, _ALL_ROWS)
        if len(records.values):
            there = True
            yield central_totals(records.values, records.people, columns)
    if not there:
        raise InsufficientData(_NO_RECORD)


def _local(release: Release, columns: tuple[Column, ...]) -> tuple[Arrays, dict[str, Any]]:
    rows = int(release.parameters["rows"])
    records = _records(release, columns, rows)
    everyone = charged_person_ids(release=release)
    values = exactly(rows, values=records.values, people=records.people, everyone=everyone, columns=columns)
    made = local_rows(values, columns=columns, epsilon=(release.formal_epsilon or 0.0) / rows)
    width = np.array([c.high - c.low for c in columns])
    lost = np.where(np.isnan(made.sd), made.flip, np.minimum(1.0, made.sd / width))
    rho = np.array([rho_of_pure(made.epsilon * rows)])
    told = {
        "rows_in": two_digits(len(values)),
        "rows_out": two_digits(len(values)),
        "information_loss": float(lost.mean()),
    }
    return {"values": made.values[unordered(made.values)], "rows_rho": rho}, told


def _k_anonymous(release: Release, columns: tuple[Column, ...]) -> tuple[Arrays, dict[str, Any]]:
    asked = release.parameters
    records = _records(release, columns, int(asked["rows"]))
    place = next((j for j, c in enumerate(columns) if c.name == asked["sensitive"]), None)
    quasi = [j for j in range(len(columns)) if j != place]
    sensitive = None if place is None else records.values[:, place].astype(np.int64)
    made = mondrian(
        records.values[:, quasi], columns=[columns[j] for j in quasi], users=records.people, k=int(asked["k"]),
        sensitive=sensitive, diversity=int(asked["diversity"]),
    )  # fmt: skip
    low, high = records.values.copy(), records.values.copy()
    low[:, quasi], high[:, quasi] = made.low, made.high
    order = unordered(low)
    return {"low": low[order], "high": high[order]}, _facts(records, len(low), made.loss)


def _pseudonymous(release: Release, columns: tuple[Column, ...]) -> tuple[Arrays, dict[str, Any]]:
    records = _records(release, columns, int(release.parameters["rows"]))
    names = pseudonyms(records.people.tolist(), purpose=release.purpose, epoch=release.parameters["epoch"])
    order = np.lexsort((names[:, 1], names[:, 0]))
    made = {"pseudonym": names[order], "values": records.values[order], "day": records.days[order]}
    return made, _facts(records, len(names), 0.0)


def _generalized(release: Release, columns: tuple[Column, ...]) -> tuple[Arrays, dict[str, Any]]:
    records = _records(release, columns, int(release.parameters["rows"]))
    made = generalize(records.values, columns)
    order = unordered(made.low)
    return {"low": made.low[order], "high": made.high[order]}, _facts(records, len(made.low), made.loss)


_COMPUTED: dict[str, Callable[[Release, tuple[Column, ...]], tuple[Arrays, dict[str, Any]]]] = {
    "central": _central,
    "local": _local,
    K_ANONYMITY: _k_anonymous,
    PSEUDONYMIZATION: _pseudonymous,
    GENERALIZATION: _generalized,
}


def unordered(rows: np.ndarray) -> np.ndarray:
    """An order by what is released itself: the order in which records were read says nothing any more."""
    return np.asarray(np.lexsort(np.flip(rows, axis=1).T))


def _facts(records: FeatureRecords, rows_out: int, loss: float) -> dict[str, Any]:
    rows_in = two_digits(len(records.values) + records.left_out)
    return {"rows_in": rows_in, "rows_out": two_digits(rows_out), "information_loss": loss}
