"""Read the decisions of a trial as rows: which arm a person is in, and how their decisions ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

import numpy as np
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet
from django.db.models.functions import TruncDate

from core.arrays import Floats, Ints
from loops.engine.heads import MAIN_HEAD
from loops.engine.reward import COMPONENTS
from loops.engine.rows.outcomes import NO_REWARD
from loops.models import Loop, LoopVersion
from privacy.engine.evaluation.arm_differences import LATE_SHARE
from privacy.engine.evaluation.on_policy import TrialRows
from privacy.engine.outcomes import outcomes_bounded
from privacy.engine.sealing import Cipher, about_outcome
from privacy.models import Choice, Decision, Person, PrivacyBudget
from privacy.selectors.decisions import judged
from privacy.selectors.keys import ciphers_known, payload_opened

_PEOPLE_A_QUERY = 5_000
_FEW = 50  # one in so many people may have a row that is dated far off, and at least one person may
_FACTS = (
    "decision__person_id", "decision__row_key", "action", "decision__outcome__payload", "decision__outcome__harmful",
)  # fmt: skip
_TOTAL, _EMPATHY = 3, 4 + COMPONENTS.index("empathy")  # columns of a table


@dataclass(frozen=True)
class TrialSpan:
    """Describe which decisions were made in a trial.

    since: when it began, by the database's clock. generation: of the serving slot during the trial. log_end: the end of the day
    on which the stored log ended then, by the calendar of its rows (``logged_until``); None if it had no row.
    """

    since: datetime
    generation: int
    log_end: datetime | None


def logged_until(loop: Loop) -> datetime | None:
    """Return the end of the day (UTC) on which the stored log of a loop ends, or None for a loop without decisions.

    A row dated far in the future must not move it. So people are ordered by their last decision, and it is the day of the latest
    one after one in 50 people, and at least one. A whole day, because the time itself would be a fact about one person.
    """
    last = _beyond_few(Decision.objects.filter(loop_version__loop=loop), Max("decided_at"), "-bound")
    return last and datetime.combine(last.astimezone(UTC).date(), time.max, tzinfo=UTC)


def _logged_from(stored: QuerySet[Decision]) -> datetime | None:
    """Return the begin of the day (UTC) on which some stored decisions begin, apart from those of as few people."""
    first = _beyond_few(stored, Min("decided_at"), "bound")
    return first and datetime.combine(first.astimezone(UTC).date(), time.min, tzinfo=UTC)


def _beyond_few(stored: QuerySet[Decision], bound: Max | Min, order: str) -> datetime | None:
    """Return the first of the people's ``bound`` times after one in ``_FEW`` people, and at least one. None without people."""
    times = stored.values("person_id").annotate(bound=bound).order_by(order).values_list("bound", flat=True)
    people: int = stored.aggregate(people=Count("person", distinct=True))["people"]
    found: datetime | None = times[min(people - 1, max(1, people // _FEW))] if people else None
    return found


def people_in_trial(*, loop_version: LoopVersion, span: TrialSpan) -> QuerySet[Person]:
    """Return the people with a decision in the trial. They are charged for it, because each says whether people keep coming."""
    made = _made(loop_version).filter(_lived(loop_version, span))
    return Person.objects.filter(Exists(made.filter(decision__person=OuterRef("pk"))))


def people_judging_trial(*, loop_version: LoopVersion, span: TrialSpan) -> QuerySet[Person]:
    """Return the people with an outcome in the trial. Without enough of them nobody is charged."""
    read = _choices(loop_version).filter(_lived(loop_version, span))
    return Person.objects.filter(Exists(read.filter(decision__person=OuterRef("pk"))))


def trial_has_news(
    *, loop_version: LoopVersion, span: TrialSpan, since: datetime, among: QuerySet[PrivacyBudget]
) -> bool:  # fmt: skip
    """Return whether an outcome of the trial was stored after a time, of somebody ``among`` those who consent."""
    read = _choices(loop_version).filter(_lived(loop_version, span), decision__outcome__created_at__gt=since)
    return read.filter(decision__person_id__in=among.values("person_id")).exists()


def trial_rows(
    *,
    loop_version: LoopVersion,
    person_ids: Sequence[int] | Ints,
    span: TrialSpan,
    in_candidate: Callable[[str], bool],
) -> TrialRows:
    """Return the available decisions of these people in a trial that have a closed outcome with a reward or a label.

    Explored decisions are in it too, because both arms explore alike. Totals and components are clipped to their bounds.
    Everybody with a decision in the trial counts among the people, so that nobody who left before an outcome is missed.

    Args:
        span: which decisions were made in the trial. Outcomes that were stored before it are the person's past.
        in_candidate: tells from a person's key whether their arm is the candidate's.
    """
    asked = Person.objects.filter(pk__in=people_in_trial(loop_version=loop_version, span=span).values("pk"))
    chosen = {int(i) for i in person_ids}
    keys = {pk: key for pk, key in asked.values_list("pk", "key") if pk in chosen}
    people = np.array(sorted(keys), dtype=np.int64)
    table = _table(loop_version, people.tolist(), _lived(loop_version, span))
    before, before_count = _past(loop_version, people, span)
    return TrialRows(
        person=np.searchsorted(people, table[:, 0].astype(np.int64)),
        candidate=np.array([in_candidate(keys[int(pk)]) for pk in people], dtype=np.bool_),
        missed=_missed(loop_version, people, span),
        unreported=_unreported(loop_version, people, span),
        before=before,
        before_count=before_count,
        reward=table[:, _TOTAL],
        intervened=table[:, 1] != loop_version.spec.main_head.reference_index,
        empathy=table[:, _EMPATHY],
        harmful=table[:, 2].astype(np.int64),
    )


def _unreported(loop_version: LoopVersion, people: Ints, span: TrialSpan) -> Floats:
    """Return the share (U,) of each person's closed available decisions in a trial without a reward, 0 without any.

    A served decision is closed once its deadline is over. One of a file is closed at once.
    """
    closed = _made(loop_version).filter(
        _lived(loop_version, span),
        Q(decision__outcome__isnull=False) | Q(decision__served__isnull=True),
        decision__available=True,
    )
    counts = closed.values("decision__person_id").annotate(
        made=Count("pk"), told=Count("pk", filter=Q(decision__outcome__has_reward=True))
    )
    shares = {row["decision__person_id"]: 1.0 - row["told"] / row["made"] for row in counts}
    return np.array([shares.get(int(person), 0.0) for person in people])


def _missed(loop_version: LoopVersion, people: Ints, span: TrialSpan) -> Floats:
    """Return the share (U,) of the days (UTC) in the last quarter of a trial so far on which each person has no decision.

    A decision says that somebody came, with an outcome or without. A trial lasts from the first to the last day of its stored
    decisions, by the calendar of its rows.
    """
    stored = Decision.objects.filter(loop_version__loop=loop_version.loop_id, created_at__gte=span.since)
    if span.log_end is not None:
        stored = stored.filter(decided_at__gt=span.log_end)
    first, last = _logged_from(stored), logged_until(loop_version.loop)
    if first is None or last is None or first > last:
        return np.ones(len(people))
    late = (last - LATE_SHARE * (last - first)).replace(hour=0, minute=0, second=0, microsecond=0)
    came = stored.filter(decided_at__gte=late).values("person_id")
    days = came.annotate(days=Count(TruncDate("decided_at", tzinfo=UTC), distinct=True))
    by_person = dict(days.values_list("person_id", "days"))
    whole = (last.date() - late.date()).days + 1
    return np.array([1.0 - min(by_person.get(int(person), 0) / whole, 1.0) for person in people])


def _past(loop_version: LoopVersion, people: Ints, span: TrialSpan) -> tuple[Floats, Ints]:
    """Return each person's mean reward over decisions whose outcome was stored before the trial, and their number (U,).

    Neither can depend on the arm.
    """
    total, count = np.zeros(len(people)), np.zeros(len(people), dtype=np.int64)
    table = _table(loop_version, people.tolist(), Q(decision__outcome__created_at__lt=span.since))
    table = table[np.isfinite(table[:, _TOTAL])]
    index = np.searchsorted(people, table[:, 0].astype(np.int64))
    np.add.at(total, index, table[:, _TOTAL])
    np.add.at(count, index, 1)
    return total / np.maximum(count, 1), count


def _lived(loop_version: LoopVersion, span: TrialSpan) -> Q:
    """Return the condition that a decision was made in the trial.

    A served decision was, if it was made under the trial's generation, so that nobody whose arm changed is mixed. A file may be
    older than the trial, whenever it arrives. So its rows are compared with the end of the stored log and with the person's own
    stored decisions. A file may have a calendar of its own, unless the platform serves decisions of the loop by the clock.
    """
    served = Q(decision__served__isnull=False, generation=span.generation)
    imported = Q(decision__served__isnull=True, decision__created_at__gte=span.since)
    decisions = Decision.objects.filter(loop_version__loop=loop_version.loop_id)
    if span.log_end is not None:
        imported &= Q(decision__decided_at__gt=span.log_end)
    if _is_served(decisions):
        imported &= Q(decision__decided_at__gte=span.since)
    own = decisions.filter(
        person=OuterRef("decision__person"),
        created_at__lt=span.since,
        decided_at__gte=OuterRef("decision__decided_at"),
    )
    return served | imported & Q(~Exists(own))


def _is_served(decisions: QuerySet[Decision]) -> bool:
    """Return whether a loop serves decisions by the clock, apart from one in ``_FEW`` people, and at least one person."""
    people, served = (
        rows.aggregate(people=Count("person", distinct=True))["people"]
        for rows in (decisions, decisions.filter(served__isnull=False))
    )
    return bool(served > max(1, people // _FEW))


def _made(loop_version: LoopVersion) -> QuerySet[Choice]:
    """Return the policy head's choices."""
    return Choice.objects.filter(head=MAIN_HEAD, decision__loop_version=loop_version)


def _choices(loop_version: LoopVersion) -> QuerySet[Choice]:
    """Return the policy head's choices of available decisions that have a closed outcome with a reward or a label."""
    return _made(loop_version).filter(
        judged("decision__outcome"), decision__available=True, decision__outcome__isnull=False
    )


def _table(loop_version: LoopVersion, people: list[int], which: Q) -> Floats:
    """Return (n, 10) in order of person: person, action, harm, and the bounded outcome.

    Rows with neither reward nor label are left out.
    """
    parts = [np.zeros((0, _TOTAL + len(NO_REWARD)))]
    for first in range(0, len(people), _PEOPLE_A_QUERY):
        parts.append(_part(loop_version, people[first : first + _PEOPLE_A_QUERY], which))
    table = np.concatenate(parts)
    table[:, _TOTAL:] = outcomes_bounded(loop_version.spec, table[:, _TOTAL:])
    return table[np.isfinite(table[:, _TOTAL]) | (table[:, 2] >= 0)]


def _part(loop_version: LoopVersion, ids: list[int], which: Q) -> Floats:
    keys = ciphers_known(ids)
    rows = (
        _choices(loop_version)
        .filter(which, decision__person_id__in=keys)
        .order_by("decision__person_id", "decision__decided_at", "decision_id")
        .values_list(*_FACTS)
    )
    table = [_row(keys[row[0]], *row) for row in rows.iterator(chunk_size=10_000)]
    return np.array(table, dtype=np.float64).reshape(-1, _TOTAL + len(NO_REWARD))


def _row(
    cipher: Cipher, person: int, row_key: bytes, action: int, sealed: bytes, harmful: bool | None
) -> tuple[Any, ...]:
    """Open one outcome. A damaged one has no reward, so it is left out; ``manage.py verify_vault`` names it."""
    plain = payload_opened(cipher, sealed, about_outcome(person, bytes(row_key)), NO_REWARD.tobytes())
    payload = np.frombuffer(plain, dtype="<f8")
    return person, action, -1 if harmful is None else int(harmful), *payload
