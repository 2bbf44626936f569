"""Reads of the privacy floor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from django.db.models import FilteredRelation, Q

from loops.engine.row_outcomes import NO_REWARD
from loops.engine.spec import LoopSpec
from loops.models import LoopVersion
from privacy.engine import decisions
from privacy.engine.decisions import DecisionArrays
from privacy.engine.evaluate import Judged
from privacy.engine.next_state import next_rows
from privacy.engine.rows import Ints, Rows
from privacy.models import Decision
from privacy.models.person import FOLDS
from privacy.selectors_release import charged_person_ids

__all__ = [
    "charged_person_ids",
    "decision_arrays",
    "evaluation_folds",
    "judged_rows",
    "randomised_rows",
    "training_folds",
]

_PEOPLE_A_QUERY = 5_000
_ROWS_A_FETCH = 10_000
_NO_PAYLOAD = NO_REWARD.tobytes()


def evaluation_folds(spec: LoopSpec) -> tuple[int, int]:
    """Folds [lo, hi) of the people who judge candidates and never train one."""
    return 0, round(spec.evaluation_share * FOLDS)


def training_folds(spec: LoopSpec) -> tuple[int, int]:
    """Folds [lo, hi) of the people who train."""
    return evaluation_folds(spec)[1], FOLDS


def randomised_rows(spec: LoopSpec, arrays: DecisionArrays) -> Rows:
    """The rows of a release (see privacy.engine.decisions)."""
    return decisions.randomised_rows(arrays)


def judged_rows(spec: LoopSpec, arrays: DecisionArrays) -> Judged:
    """The rows of an evaluation (see privacy.engine.decisions)."""
    return decisions.judged_rows(arrays)


def decision_arrays(*, loop_version: LoopVersion, person_ids: Sequence[int] | Ints | None, head: str) -> DecisionArrays:
    """Decisions under ``loop_version`` of the given people (None: of everybody), as ``head`` chose, with next states.

    Reads in bulk: about 60,000 decisions a second; holds the arrays and one fetch of rows.
    """
    spec = loop_version.spec
    columns = _Columns(len(spec.features))
    for rows in _fetches(loop_version, person_ids, head):
        columns.add(rows)
    return columns.arrays(spec)


def _fetches(
    loop_version: LoopVersion, person_ids: Sequence[int] | Ints | None, head: str
) -> Iterator[list[tuple[Any, ...]]]:
    found = (
        Decision.objects.filter(loop_version=loop_version)
        .alias(choice=FilteredRelation("choices", condition=Q(choices__head=head)))
        .order_by("person_id", "decided_at", "id")
        .values_list(
            "person_id",
            "local_day",
            "available",
            "left",
            "state",
            "choice__action",
            "choice__propensity",
            "choice__marginal_propensity",
            "choice__explored",
            "outcome__payload",
            "outcome__harmful",
        )
    )
    if person_ids is None:
        queries = [found]
    else:
        ids = sorted({int(i) for i in person_ids})
        batches = [ids[i : i + _PEOPLE_A_QUERY] for i in range(0, len(ids), _PEOPLE_A_QUERY)]
        queries = [found.filter(person_id__in=batch) for batch in batches]
    for query in queries:
        rows = query.iterator(chunk_size=_ROWS_A_FETCH)
        while batch := list(islice(rows, _ROWS_A_FETCH)):
            yield batch


class _Columns:
    """Gathers fetched rows as arrays, a fetch at a time."""

    def __init__(self, features: int) -> None:
        self._features = features
        self._parts: list[list[np.ndarray]] = []

    def add(self, rows: list[tuple[Any, ...]]) -> None:
        person, day, available, left, state, action, propensity, marginal, explored, payload, harmful = zip(
            *rows, strict=True
        )
        self._parts.append(
            [
                np.array(person, dtype=np.int64),
                np.array([d.toordinal() for d in day], dtype=np.int64),
                np.array(available, dtype=np.bool_),
                np.array(left, dtype=np.bool_),
                np.frombuffer(b"".join(state), dtype="<f8").reshape(len(rows), self._features),
                np.array([-1 if a is None else a for a in action], dtype=np.int64),
                np.array(propensity, dtype=np.float64),
                np.array(marginal, dtype=np.float64),
                np.array([bool(e) for e in explored]),
                np.frombuffer(b"".join(p or _NO_PAYLOAD for p in payload), dtype="<f8").reshape(len(rows), -1),
                np.array([-1 if h is None else int(h) for h in harmful], dtype=np.int64),
            ]
        )

    def arrays(self, spec: LoopSpec) -> DecisionArrays:
        parts = self._parts or [_empty(self._features)]
        person, day, available, left, state, action, propensity, marginal, explored, reward, harmful = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        self._parts.clear()
        follow = next_rows(spec.imports.next_state, person=person, day=day, available=available, left=left)
        has_next = follow >= 0
        return DecisionArrays(
            person=person,
            day=day,
            state=state,
            next_state=state[np.where(has_next, follow, np.arange(len(person)))],
            has_next=has_next,
            available=available,
            left=left,
            action=action,
            propensity=propensity,
            marginal=marginal,
            explored=explored,
            reward=reward[:, 0],
            components=reward[:, 1:],
            harmful=harmful,
        )


def _empty(features: int) -> list[np.ndarray]:
    none, ints, flags = np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    return [
        ints,
        ints,
        flags,
        flags,
        np.zeros((0, features)),
        ints,
        none,
        none,
        flags,
        np.zeros((0, len(NO_REWARD))),
        ints,
    ]
