"""Generalise records by the loop's public hierarchy: numbers to equal bins of their bounds, categories to their parents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from privacy.engine.anonymize.columns import Column
from privacy.engine.anonymize.protocol import ChargedRequest, Cost, Output, RecordSource, Technique
from privacy.engine.anonymize.tables import boxes, rows_logged, unordered
from privacy.engine.dp.accounting import NANO

_POLICY_NANO = NANO // 5
_GUARANTEE = (
    "values coarsened by the loop's public hierarchy. It has no differential-privacy meaning: rare combinations may still single "
    "somebody out"
)


@dataclass(frozen=True)
class Generalized:
    """Generalised records. ``low`` and ``high`` (n, F) are the edges of a number's bin.

    For a category both hold the index of its parent among ``parents_of``. ``loss`` is the mean share of a column's range, or of
    its other categories, that a record can no longer be distinguished from.
    """

    low: Floats
    high: Floats
    loss: float


def parents_of(column: Column) -> tuple[str, ...]:
    """Return a category column's parents in order of first mention, or the categories where the loop names no parents."""
    return tuple(dict.fromkeys(column.parents or column.categories))


def generalize(values: Floats, columns: Sequence[Column]) -> Generalized:
    """Generalise records (n, F) within their public bounds, each column by its own hierarchy."""
    low, high, losses = np.empty_like(values), np.empty_like(values), np.empty_like(values)
    for j, column in enumerate(columns):
        if column.categories:
            low[:, j], losses[:, j] = _to_parents(values[:, j], column)
            high[:, j] = low[:, j]
        else:
            low[:, j], high[:, j] = _to_bins(values[:, j], column)
            losses[:, j] = 1 / column.bins
    return Generalized(low, high, float(losses.mean()) if losses.size else 0.0)


def _to_bins(values: Floats, column: Column) -> tuple[Floats, Floats]:
    edges = np.linspace(column.low, column.high, column.bins + 1)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, column.bins - 1)
    return edges[place], edges[place + 1]


def _to_parents(values: Floats, column: Column) -> tuple[Floats, Floats]:
    """Return each value's parent index (n,), and the share (n,) of the other categories that have the same parent."""
    names, given = parents_of(column), column.parents or column.categories
    parent = np.array([names.index(name) for name in given], dtype=np.float64)
    others = np.array([given.count(name) - 1 for name in given]) / max(1, len(given) - 1)
    index = values.astype(np.int64)
    return parent[index], others[index]


def _compute(charged: ChargedRequest, source: RecordSource) -> Output:
    records = source.records(int(charged.parameters["rows"]))
    generalized = generalize(records.values, charged.columns)
    order = unordered(generalized.low)
    log = rows_logged(records, len(generalized.low), generalized.loss)
    return Output({"low": generalized.low[order], "high": generalized.high[order]}, log)


technique = Technique(
    name="generalization",
    mode=None,
    label="generalization",
    mechanism="the loop's hierarchy",
    neighbouring="none",
    library="",
    statistics=False,
    rows_for_all=False,
    takes=(),
    parameters=(),
    exclusive=(),
    check=lambda request, columns: None,
    cost=lambda request, limits: Cost(_POLICY_NANO),
    guarantee=lambda request: _GUARANTEE,
    logged=lambda request, columns: {},
    settled=lambda request, today: {},
    least_cohort=lambda request: 1,
    compute=_compute,
    table=lambda charged, arrays: boxes(charged.columns, [parents_of(c) for c in charged.columns], arrays),
)
