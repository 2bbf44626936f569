"""Pseudonymisation: unchanged records under pseudonyms. A person's pseudonyms match only within one purpose and epoch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

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
from privacy.engine.anonymize.request import AnonymizeRequest, Parameter
from privacy.engine.anonymize.tables import as_text, rows_logged
from privacy.engine.dp.accounting import NANO

_POLICY_NANO = NANO // 10
_GUARANTEE = (
    "pseudonyms keyed for this purpose and epoch; the records themselves are unchanged. It has no differential-privacy meaning: "
    "the records are still personal data, and what they say may identify somebody"
)
_EPOCH = Parameter(
    "epoch", str, "", "pseudonymization: pseudonyms of different epochs cannot be linked (default: this month)"
)
_EPOCH_NAME = re.compile(r"[A-Za-z0-9._-]{1,20}")


def epoch_of(day: date) -> str:
    """Return the default epoch of an export: the month, like ``2026-11``."""
    return f"{day:%Y-%m}"


def epoch_check(epoch: str) -> None:
    """Raise InputError unless a text can name an epoch."""
    if not _EPOCH_NAME.fullmatch(epoch):
        raise InputError(
            f"epoch is {epoch!r}; use 1 to 20 letters, digits, dots, dashes or underscores, like 2026-11", field="epoch"
        )


def pseudonym_text(epoch: str, halves: Sequence[int]) -> str:
    """Return a pseudonym as text: its epoch, which is the version of its key, a colon, and 32 hexadecimal digits."""
    return f"{epoch}:{np.array(halves, dtype='<i8').tobytes().hex()}"


def _check(request: AnonymizeRequest, columns: Sequence[Column]) -> None:
    if request.value(_EPOCH):
        epoch_check(request.value(_EPOCH))


def _named(request: AnonymizeRequest) -> dict[str, str]:
    return {"epoch": request.value(_EPOCH)} if request.value(_EPOCH) else {}


def _settled(request: AnonymizeRequest, today: date) -> dict[str, str]:
    return {} if request.value(_EPOCH) else {"epoch": epoch_of(today)}


def _compute(charged: ChargedRequest, source: RecordSource) -> Output:
    records = source.records(int(charged.parameters["rows"]))
    names = source.pseudonyms(records.people, charged.parameters["epoch"])
    order = np.lexsort((names[:, 1], names[:, 0]))
    arrays = {"pseudonym": names[order], "values": records.values[order], "day": records.days[order]}
    return Output(arrays, rows_logged(records, len(names), 0.0))


def _table(charged: ChargedRequest, arrays: Arrays) -> ReleasedRows:
    epoch, columns = charged.parameters["epoch"], charged.columns
    each = zip(arrays["pseudonym"].tolist(), arrays["day"].tolist(), arrays["values"].tolist(), strict=True)
    rows = (
        [pseudonym_text(epoch, name), date.fromordinal(day).isoformat(), *as_text(values, columns)]
        for name, day, values in each
    )
    return ReleasedRows(["pseudonym", "day", *(c.name for c in columns)], rows)


technique = Technique(
    name="pseudonymization",
    mode=None,
    label="pseudonymization",
    mechanism="HMAC-SHA-256 of the person, keyed by purpose and epoch",
    neighbouring="none",
    library="",
    statistics=False,
    rows_for_all=False,
    takes=(),
    parameters=(_EPOCH,),
    exclusive=(),
    check=_check,
    cost=lambda request, limits: Cost(_POLICY_NANO),
    guarantee=lambda request: _GUARANTEE,
    logged=lambda request, columns: _named(request),
    settled=_settled,
    least_cohort=lambda request: 1,
    compute=_compute,
    table=_table,
)
