"""k-anonymity by Mondrian: records are cut into boxes until no further cut would leave k people in both halves.

Source: LeFevre, DeWitt and Ramakrishnan 2006. k counts distinct *people*, however many rows each has. Optionally each box also
holds a minimum number of different values of a sensitive category (distinct l-diversity). No record is suppressed.

A person's rows may lie in several boxes, each with k different people. An attacker who knows several rows of one person may
intersect their boxes. One row per person avoids this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.arrays import Floats, Ints
from core.errors import InputError
from privacy.engine.anonymize.columns import Column
from privacy.engine.anonymize.protocol import ChargedRequest, Cost, Output, RecordSource, Technique
from privacy.engine.anonymize.request import MOST_SAMPLES, AnonymizeRequest, Parameter, check_within
from privacy.engine.anonymize.tables import boxes, rows_logged, unordered
from privacy.engine.dp.accounting import NANO

_POLICY_NANO = 3 * NANO // 10
K = Parameter("k", int, 10, "k-anonymity: fewest people in a class (default: 10)")
DIVERSITY = Parameter(
    "diversity", int, 1, "k-anonymity: fewest different sensitive values in a class (default: 1)", "L"
)
# The sensitive column is published unchanged; diversity demands that its values differ within a class.
SENSITIVE: Parameter[str | None] = Parameter(
    "sensitive", str, None, "k-anonymity: the category that --diversity counts; published unchanged", "FIELD"
)


@dataclass(frozen=True)
class Partition:
    """Records partitioned into boxes. ``classes`` (n,) is the number of each record's box.

    ``low`` and ``high`` (n, F) are the sides of the box; for a category they span category indices.
    ``loss`` is the normalised certainty penalty, 0 to 1: the mean side as a share of its column's public range.
    ``smallest`` is the number of people in the smallest box.
    ``diversity`` is the least number of different sensitive values in a box, or None without a sensitive column.
    """

    classes: Ints
    low: Floats
    high: Floats
    loss: float
    smallest: int
    diversity: int | None


def mondrian(
    values: Floats,
    *,
    columns: Sequence[Column],
    users: Ints,
    k: int,
    sensitive: Ints | None = None,
    diversity: int = 1,
) -> Partition:
    """Partition records (n, F) of ``users`` (n,) into boxes. The same input gives the same boxes.

    Raises InputError for arrays that do not fit together, values that are not finite, k below 2, and fewer than k people.
    """
    _check(values, columns, users, k, sensitive, diversity)
    people = _Rows(users, sensitive, k, diversity)
    width = np.array([c.high - c.low for c in columns])
    width[width == 0] = 1.0
    classes = np.empty(len(values), dtype=np.int64)
    low, high = np.empty_like(values), np.empty_like(values)
    pending, number, smallest, least = [np.arange(len(values))], 0, len(values), None
    while pending:
        rows = pending.pop()
        box = values[rows]
        bottom, top = box.min(axis=0), box.max(axis=0)
        halves = _cut(box, (top - bottom) / width, rows, people)
        if halves is not None:
            pending += halves
            continue
        classes[rows], low[rows], high[rows] = number, bottom, top
        number, smallest = number + 1, min(smallest, people.count(rows))
        if sensitive is not None:
            different = people.kinds(rows)
            least = different if least is None else min(least, different)
    return Partition(classes, low, high, float(((high - low) / width).mean()), smallest, least)


class _Rows:
    """Count people and sensitive values among rows. Where everybody has one row, the number of people is the number of rows."""

    def __init__(self, users: Ints, sensitive: Ints | None, k: int, diversity: int) -> None:
        _, self._users = np.unique(users, return_inverse=True)
        self.single = int(self._users.max()) + 1 == len(users)
        self._sensitive, self.k, self._diversity = sensitive, k, diversity

    def count(self, rows: Ints) -> int:
        return len(rows) if self.single else len(np.unique(self._users[rows]))

    def kinds(self, rows: Ints) -> int:
        return 0 if self._sensitive is None else len(np.unique(self._sensitive[rows]))

    def suffice(self, rows: Ints) -> bool:
        """Return whether rows may form a box of their own."""
        enough = len(rows) >= self.k and self.count(rows) >= self.k
        return enough and (self._diversity == 1 or self.kinds(rows) >= self._diversity)


def _cut(box: Floats, spread: Floats, rows: Ints, people: _Rows) -> list[Ints] | None:
    """Cut a box in two through the widest column that allows it, as near to the middle as possible; None if no cut is allowed."""
    if len(rows) < 2 * people.k:
        return None
    for j in np.argsort(-spread, kind="stable"):
        if spread[j] <= 0:
            return None
        for edge in _edges(box[:, j], people.k):
            left = box[:, j] < edge
            halves = [rows[left], rows[~left]]
            if all(map(people.suffice, halves)):
                return halves
    return None


def _edges(column: Floats, k: int) -> list[float]:
    """Return up to two cut values, the nearest to the median from either side. A cut value begins the right half."""
    ordered = np.sort(column)
    middle = ordered[len(ordered) // 2]
    first, last = np.searchsorted(ordered, middle, "left"), np.searchsorted(ordered, middle, "right")
    cuts = [(abs(len(ordered) - 2 * at), at) for at in (int(first), int(last)) if k <= at <= len(ordered) - k]
    return [float(ordered[at]) for _, at in sorted(cuts)]


def _check(
    values: Floats, columns: Sequence[Column], users: Ints, k: int, sensitive: Ints | None, diversity: int
) -> None:
    if values.ndim != 2 or values.shape[1] != len(columns) or not columns or len(users) != len(values):
        raise InputError(
            f"the records have shape {values.shape}, but there are {len(columns)} columns and {len(users)} users; "
            "pass one column per field and one user per record"
        )
    if not len(values) or not np.isfinite(values).all():
        raise InputError("there are no records, or one holds a value that is not finite; leave such records out")
    if k < 2:
        raise InputError(f"k is {k}; a class of one person hides nobody, so k must be 2 or more")
    if len(np.unique(users)) < k:
        raise InputError(f"this needs at least {k} people with such records (k); there are fewer")
    if diversity > 1 and (sensitive is None or len(np.unique(sensitive)) < diversity):
        raise InputError(f"diversity is {diversity}, but there are fewer different sensitive values; use a smaller one")


def _check_request(request: AnonymizeRequest, columns: Sequence[Column]) -> None:
    k, diversity, sensitive = request.value(K), request.value(DIVERSITY), request.value(SENSITIVE)
    check_within("k", k, 2, MOST_SAMPLES)
    check_within("diversity", diversity, 1, 1_000)
    if diversity > 1 and sensitive is None:
        raise InputError("diversity needs a category to count; name it in sensitive", field="sensitive")
    if request.samples is not None and k > request.samples:
        raise InputError(
            f"k is {k}, but sampleCount allows only {request.samples} people; lower k or raise sampleCount",
            field="k",
        )
    if sensitive is not None and sensitive not in {c.name for c in columns if c.categories}:
        raise InputError(
            f"sensitive is {sensitive!r}; it must be one of the categories among the fields", field="sensitive"
        )
    if sensitive is not None and len(columns) == 1:
        raise InputError("fields holds the sensitive field alone; name at least one other field", field="fields")


def _guarantee(request: AnonymizeRequest) -> str:
    diversity = request.value(DIVERSITY)
    more = f" and {diversity} different values of {request.value(SENSITIVE)}" if diversity > 1 else ""
    return (
        f"k-anonymity: each class of records holds {request.value(K)} different people or more{more}. It has no "
        "differential-privacy meaning: who knows more of somebody, or sees another release of the same people, may learn "
        "about them"
    )


def _logged(request: AnonymizeRequest, columns: Sequence[Column]) -> dict[str, Any]:
    return {"k": request.value(K), "diversity": request.value(DIVERSITY), "sensitive": request.value(SENSITIVE)}


def _compute(charged: ChargedRequest, source: RecordSource) -> Output:
    parameters, columns = charged.parameters, charged.columns
    records = source.records(int(parameters["rows"]))
    place = next((j for j, c in enumerate(columns) if c.name == parameters["sensitive"]), None)
    quasi = [j for j in range(len(columns)) if j != place]
    sensitive = None if place is None else records.values[:, place].astype(np.int64)
    partition = mondrian(
        records.values[:, quasi], columns=[columns[j] for j in quasi], users=records.people, k=int(parameters["k"]),
        sensitive=sensitive, diversity=int(parameters["diversity"]),
    )  # fmt: skip
    low, high = records.values.copy(), records.values.copy()
    low[:, quasi], high[:, quasi] = partition.low, partition.high
    order = unordered(low)
    return Output({"low": low[order], "high": high[order]}, rows_logged(records, len(low), partition.loss))


technique = Technique(
    name="k_anonymity",
    mode=None,
    label="k-anonymity",
    mechanism="Mondrian over distinct users",
    neighbouring="none",
    library="",
    statistics=False,
    rows_for_all=False,
    takes=(),
    parameters=(K, DIVERSITY, SENSITIVE),
    exclusive=("sensitive", "diversity"),
    check=_check_request,
    cost=lambda request, limits: Cost(_POLICY_NANO),
    guarantee=_guarantee,
    logged=_logged,
    settled=lambda request, today: {},
    least_cohort=lambda request: request.value(K),
    compute=_compute,
    table=lambda charged, arrays: boxes(charged.columns, [c.categories for c in charged.columns], arrays),
)
