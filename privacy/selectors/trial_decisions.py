"""Read the decisions of a trial as rows: which arm a person is in, and how their decisions ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from core.arrays import Floats, Ints
from loops.engine.heads import MAIN_HEAD
from loops.engine.reward import COMPONENTS
from loops.engine.rows.outcomes import NO_REWARD
from loops.models import LoopVersion
from privacy.engine.evaluation.on_policy import TrialRows
from privacy.engine.sealing import CannotOpen, Cipher, about_outcome
from privacy.models import Choice, Decision, Person
from privacy.selectors.keys import ciphers_known

_PEOPLE_A_QUERY = 5_000
_EMPATHY = 1 + COMPONENTS.index("empathy")
_FACTS = (
    "decision__person_id", "decision__row_key", "action", "decision__outcome__payload", "decision__outcome__harmful",
)  # fmt: skip


def people_in_trial(*, loop_version: LoopVersion, since: datetime, generation: int) -> QuerySet[Person]:
    """Return the people with a decision that ``trial_rows`` can read. Nobody else is charged for a trial."""
    read = _choices(loop_version).filter(_lived(loop_version, since, generation))
    return Person.objects.filter(Exists(read.filter(decision__person=OuterRef("pk"))))


def trial_rows(
    *,
    loop_version: LoopVersion,
    person_ids: Sequence[int] | Ints,
    since: datetime,
    generation: int,
    in_candidate: Callable[[str], bool],
) -> TrialRows:
    """Return the available decisions of these people in a trial that have a closed outcome with a reward.

    Explored decisions are in it too, because both arms explore alike.

    Args:
        since: when the trial began. An imported decision counts if it arrived afterwards and was made later than every decision
            of the loop that was stored before. Decisions that closed earlier are the person's past.
        generation: of the serving slot during the trial. A served decision counts if it was made under it, so that nobody whose
            arm changed is mixed.
        in_candidate: tells from a person's key whether their arm is the candidate's.
    """
    parts, lived = list[np.ndarray](), _lived(loop_version, since, generation)
    ids = sorted({int(i) for i in person_ids})
    for first in range(0, len(ids), _PEOPLE_A_QUERY):
        parts.append(_table(loop_version, ids[first : first + _PEOPLE_A_QUERY], lived))
    table = np.concatenate(parts) if parts else np.zeros((0, 5))
    people, person = np.unique(table[:, 0].astype(np.int64), return_inverse=True)
    before, before_count = _past(loop_version, people, since)
    keys = dict(Person.objects.filter(pk__in=people.tolist()).values_list("pk", "key"))
    return TrialRows(
        person=person.astype(np.int64).reshape(-1),
        candidate=np.array([in_candidate(keys[int(pk)]) for pk in people], dtype=np.bool_),
        before=before,
        before_count=before_count,
        reward=table[:, 2],
        intervened=table[:, 1] != loop_version.spec.main_head.reference_index,
        empathy=table[:, 3],
        harmful=table[:, 4].astype(np.int64),
    )


def _past(loop_version: LoopVersion, people: Ints, since: datetime) -> tuple[Floats, Ints]:
    """Return each person's mean reward over decisions whose outcome closed before the trial, and their number (U,).

    Neither can depend on the arm.
    """
    total, count = np.zeros(len(people)), np.zeros(len(people), dtype=np.int64)
    closed = Q(decision__outcome__closed_at__lt=since, decision__created_at__lt=since)
    for first in range(0, len(people), _PEOPLE_A_QUERY):
        table = _table(loop_version, people[first : first + _PEOPLE_A_QUERY].tolist(), closed)
        index = np.searchsorted(people, table[:, 0].astype(np.int64))
        np.add.at(total, index, table[:, 2])
        np.add.at(count, index, 1)
    return total / np.maximum(count, 1), count


def _lived(loop_version: LoopVersion, since: datetime, generation: int) -> Q:
    """Return the condition that a decision was made in the trial.

    A file may be older than the trial, whenever it arrives, and may have a calendar of its own. So its rows are compared with the
    latest decision that was stored when the trial began, and not with the clock.
    """
    served = Q(decision__served__isnull=False, generation=generation)
    imported = Q(decision__served__isnull=True, decision__created_at__gte=since)
    stored = Decision.objects.filter(loop_version__loop=loop_version.loop_id, created_at__lt=since)
    latest = stored.aggregate(latest=Max("decided_at"))["latest"]
    return served | (imported if latest is None else imported & Q(decision__decided_at__gt=latest))


def _choices(loop_version: LoopVersion) -> QuerySet[Choice]:
    """Return the policy head's choices of available decisions that have a closed outcome."""
    return Choice.objects.filter(
        head=MAIN_HEAD,
        decision__loop_version=loop_version,
        decision__available=True,
        decision__outcome__isnull=False,
    )


def _table(loop_version: LoopVersion, ids: list[int], which: Q) -> np.ndarray:
    """Return (n, 5): person, action, reward, empathy, harm, in order of person."""
    keys = ciphers_known(ids)
    rows = (
        _choices(loop_version)
        .filter(which, decision__person_id__in=keys)
        .order_by("decision__person_id", "decision__decided_at", "decision_id")
        .values_list(*_FACTS)
    )
    table = [_row(keys[row[0]], *row) for row in rows.iterator(chunk_size=10_000)]
    found = np.array(table, dtype=np.float64).reshape(-1, 5)
    return found[np.isfinite(found[:, 2])]


def _row(
    cipher: Cipher, person: int, row_key: bytes, action: int, sealed: bytes, harmful: bool | None
) -> tuple[Any, ...]:
    """Open one outcome. A damaged one has no reward, so it is left out; ``manage.py verify_vault`` names it."""
    try:
        payload = np.frombuffer(cipher.open(bytes(sealed), about_outcome(person, bytes(row_key))), dtype="<f8")
    except CannotOpen:
        payload = NO_REWARD
    return person, action, payload[0], payload[_EMPATHY], -1 if harmful is None else int(harmful)
