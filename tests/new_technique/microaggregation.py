"""Microaggregation (Domingo-Ferrer and Mateo-Sanz 2002): groups of records that are alike are replaced by their mean.

Not one of the product's techniques: tests put this file into a copy of the product.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.errors import InputError
from privacy.engine.anonymize.columns import Column
from privacy.engine.anonymize.protocol import (
    Arrays,
    ChargedRequest,
    Cost,
    Output,
    RecordSource,
    ReleasedRows,
    Technique,
)
from privacy.engine.anonymize.request import AnonymizeRequest, Parameter, check_within
from privacy.engine.anonymize.tables import rows_logged
from privacy.engine.dp.accounting import NANO

GROUP_SIZE = Parameter("group_size", int, 5, "put at least this many people in a group (default: 5)", "N")


def _check(request: AnonymizeRequest, columns: Sequence[Column]) -> None:
    check_within("groupSize", request.value(GROUP_SIZE), 2, 1_000)
    if any(c.categories for c in columns):
        raise InputError("a category has no mean; name fields that are numbers")


def _guarantee(request: AnonymizeRequest) -> str:
    return f"means of {request.value(GROUP_SIZE)} records or more. It has no differential-privacy meaning"


def _compute(charged: ChargedRequest, source: RecordSource) -> Output:
    records, size = source.records(1), int(charged.parameters["group_size"])
    order = np.argsort(records.values[:, 0], kind="stable")
    groups = np.array_split(order, max(1, len(order) // size))
    values = np.vstack([np.tile(records.values[group].mean(axis=0), (len(group), 1)) for group in groups])
    spread = np.array([c.high - c.low for c in charged.columns])
    return Output({"values": values}, rows_logged(records, len(values), _lost(records.values[order], values, spread)))


def _lost(before: np.ndarray, after: np.ndarray, spread: np.ndarray) -> float:
    return float((np.abs(before - after) / spread).mean())


def _table(charged: ChargedRequest, arrays: Arrays) -> ReleasedRows:
    rows = ([f"{value:.4f}" for value in row] for row in arrays["values"].tolist())
    return ReleasedRows([f"mean_{c.name}" for c in charged.columns], rows)


technique = Technique(
    name="microaggregation",
    mode=None,
    label="microaggregation of records",
    mechanism="means of groups that are alike",
    neighbouring="none",
    library="",
    statistics=False,
    rows_for_all=False,
    takes=(),
    parameters=(GROUP_SIZE,),
    exclusive=("group_size",),
    check=_check,
    cost=lambda request, limits: Cost(NANO // 4),
    guarantee=_guarantee,
    logged=lambda request, columns: {"group_size": request.value(GROUP_SIZE)},
    settled=lambda request, today: {},
    least_cohort=lambda request: request.value(GROUP_SIZE),
    compute=_compute,
    table=_table,
)
