"""Read logged decisions as arrays, with their payloads opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from django.db.models import Exists, FilteredRelation, OuterRef, Q, QuerySet

from core.arrays import Ints
from loops.engine.heads import MAIN_HEAD
from loops.engine.rows.outcomes import NO_REWARD
from loops.engine.rows.propensities import LEAST_PROPENSITY
from loops.engine.spec import LoopSpec
from loops.models import LoopVersion
from privacy.engine.decision_arrays import DecisionArrays, HeadArrays, learnable_actions
from privacy.engine.moments.next_state import next_rows
from privacy.engine.outcomes import outcomes_bounded
from privacy.engine.sealing import Cipher, about_outcome, about_state
from privacy.models import Choice, Decision, Person, Release
from privacy.models.person import FOLDS
from privacy.selectors.keys import ciphers_known, payload_opened
from privacy.selectors.releases import charged_person_ids

__all__ = [
    "charged_person_ids",
    "decision_arrays",
    "evaluation_folds",
    "people_with_usable_decisions",
    "training_folds",
    "usable_decisions",
]

_PEOPLE_A_QUERY = 5_000
_ROWS_A_FETCH = 10_000
_NO_PAYLOAD = NO_REWARD.tobytes()


def evaluation_folds(spec: LoopSpec) -> tuple[int, int]:
    """Return the folds [lo, hi) of the people who evaluate candidates: the held-out share, or everybody if nobody is held out."""
    return 0, round(spec.evaluation_share * FOLDS) or FOLDS


def training_folds(spec: LoopSpec) -> tuple[int, int]:
    """Return the folds [lo, hi) of the people whose data train candidates: everybody who is not held out."""
    return round(spec.evaluation_share * FOLDS), FOLDS


def rewarded(outcome: str) -> Q:
    """Return the condition that the outcome at a query's path holds a reward, or may hold one that is not recorded in clear."""
    return Q(**{f"{outcome}__has_reward": True}) | Q(**{f"{outcome}__has_reward__isnull": True})


def judged(outcome: str) -> Q:
    """Return the condition that the outcome at a query's path holds a reward or a label. Harm may come as a label alone."""
    return rewarded(outcome) | Q(**{f"{outcome}__harmful__isnull": False})


def usable_decisions(*, loop_version: LoopVersion, fresh: bool) -> QuerySet[Decision]:
    """Return the decisions that a release can use: available and chosen by the main head.

    ``fresh``: for training, those with a reward that no training release has read. Otherwise, for an evaluation, those with a
    reward or a label.
    """
    chosen = Choice.objects.filter(
        decision=OuterRef("pk"),
        head=MAIN_HEAD,
        learnable=True,
        propensity__gte=LEAST_PROPENSITY,
        marginal_propensity__gte=LEAST_PROPENSITY,
    )
    usable = Decision.objects.filter(
        Exists(chosen),
        rewarded("outcome") if fresh else judged("outcome"),
        loop_version=loop_version,
        available=True,
        outcome__isnull=False,
    )
    return usable.filter(outcome__release__isnull=True) if fresh else usable


def people_with_usable_decisions(*, loop_version: LoopVersion, fresh: bool) -> QuerySet[Person]:
    """Return the people of whom a release can use a decision. Nobody else is charged for it."""
    usable = usable_decisions(loop_version=loop_version, fresh=fresh)
    return Person.objects.filter(Exists(usable.filter(person=OuterRef("pk"))))


def decision_arrays(
    *, loop_version: LoopVersion, person_ids: Sequence[int] | Ints | None, release: Release | None = None
) -> DecisionArrays:
    """Read the decisions under ``loop_version`` of the given people (None: everybody), with next states.

    ``fresh`` marks the outcomes that belong to ``release`` (None: all outcomes). An outcome belongs to the first release that
    could read it. Rows are read in bulk; memory holds the arrays and one fetch of rows.
    """
    spec = loop_version.spec
    columns = _Columns(spec, None if release is None else release.pk)
    for rows, keys in _fetches(loop_version, person_ids):
        columns.add(rows, keys)
    return columns.arrays()


def _fetches(
    loop_version: LoopVersion, person_ids: Sequence[int] | Ints | None
) -> Iterator[tuple[list[tuple[Any, ...]], dict[int, Cipher]]]:
    """Yield batches of rows, each with the ciphers of the people they belong to."""
    names = loop_version.spec.head_names  # a head's own name may hold "__" or "--", an alias of a query may not
    choices = {f"choice_{i}": FilteredRelation("choices", condition=Q(choices__head=n)) for i, n in enumerate(names)}
    decisions = (
        Decision.objects.filter(loop_version=loop_version)
        .alias(**choices)
        .order_by("person_id", "decided_at", "id")
        .values_list(*_FACTS, *(f"{name}__{fact}" for name in choices for fact in _CHOICE))
    )
    if person_ids is None:
        person_ids = list(
            Decision.objects.filter(loop_version=loop_version).values_list("person_id", flat=True).distinct()
        )
    ids = sorted({int(i) for i in person_ids})
    for first in range(0, len(ids), _PEOPLE_A_QUERY):
        keys = ciphers_known(ids[first : first + _PEOPLE_A_QUERY])
        rows = decisions.filter(person_id__in=keys).iterator(chunk_size=_ROWS_A_FETCH)
        while batch := list(islice(rows, _ROWS_A_FETCH)):
            yield batch, keys


_FACTS = (
    "person_id", "row_key", "local_day", "available", "dropped_out", "state", "outcome__payload", "outcome__harmful",
    "outcome__release_id",
)  # fmt: skip
_CHOICE = ("action", "propensity", "marginal_propensity", "explored", "learnable")


class _Columns:
    """Collect fetched rows as arrays, one fetch at a time."""

    def __init__(self, spec: LoopSpec, release: int | None) -> None:
        self._spec, self._release = spec, release
        self._parts: list[list[np.ndarray]] = []

    def add(self, rows: list[tuple[Any, ...]], keys: dict[int, Cipher]) -> None:
        facts = list(zip(*rows, strict=True))
        person, row_key, day, available, dropped_out, state, payload, harmful, released = facts[: len(_FACTS)]
        places = list(zip(person, row_key, strict=True))
        unknown = np.full(len(self._spec.features), np.nan).tobytes()
        states = [
            payload_opened(keys[p], s, about_state(p, k), unknown) for (p, k), s in zip(places, state, strict=True)
        ]
        outcomes = [
            _NO_PAYLOAD if s is None else payload_opened(keys[p], s, about_outcome(p, k), _NO_PAYLOAD)
            for (p, k), s in zip(places, payload, strict=True)
        ]
        count, width = len(rows), len(_CHOICE)
        part = [
            np.array(person, dtype=np.int64),
            np.array([d.toordinal() for d in day], dtype=np.int64),
            np.array(available, dtype=np.bool_),
            np.array(dropped_out, dtype=np.bool_),
            np.frombuffer(b"".join(states), dtype="<f8").reshape(count, len(self._spec.features)),
            np.frombuffer(b"".join(outcomes), dtype="<f8").reshape(count, -1),
            np.array([-1 if h is None else int(h) for h in harmful], dtype=np.int64),
            np.array([self._release in (None, r) for r in released], dtype=np.bool_),
        ]
        for h in range(len(self._spec.heads)):
            first = len(_FACTS) + h * width
            part += _choice_columns(*facts[first : first + width])
        self._parts.append(part)

    def arrays(self) -> DecisionArrays:
        parts = self._parts or [_empty(self._spec)]
        person, day, available, dropped_out, state, reward, harmful, fresh, *choices = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        self._parts.clear()
        reward = outcomes_bounded(self._spec, reward)
        rule = self._spec.imports.next_state
        follow = next_rows(rule, person=person, day=day, available=available, dropped_out=dropped_out)
        known = np.isfinite(state).all(axis=1)  # an unavailable moment may lack values
        has_next = (follow >= 0) & known[follow]
        return DecisionArrays(
            person=person,
            day=day,
            state=state,
            next_state=state[np.where(has_next, follow, np.arange(len(person)))],
            has_next=has_next,
            available=available & known,
            dropped_out=dropped_out,
            heads={head.name: HeadArrays(*choices[4 * h : 4 * h + 4]) for h, head in enumerate(self._spec.heads)},
            reward=reward[:, 0],
            components=reward[:, 1:],
            harmful=harmful,
            fresh=fresh,
        )


def _choice_columns(action: Any, propensity: Any, marginal: Any, explored: Any, learnable: Any) -> list[np.ndarray]:
    usable = [a if can_learn and a is not None else -1 for a, can_learn in zip(action, learnable, strict=True)]
    given, over_both = np.array(propensity, dtype=np.float64), np.array(marginal, dtype=np.float64)
    return [
        learnable_actions(np.array(usable, dtype=np.int64), given, over_both),
        given,
        over_both,
        np.array([bool(e) for e in explored]),
    ]


def _empty(spec: LoopSpec) -> list[np.ndarray]:
    none, ints, flags = np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    facts = [ints, ints, flags, flags, np.zeros((0, len(spec.features))), np.zeros((0, len(NO_REWARD))), ints, flags]
    return facts + [ints, none, none, flags] * len(spec.heads)
