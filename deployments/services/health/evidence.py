"""Record evidence about deployed versions: one row for each person and week, once every outcome of the week is closed.

Weeks belong to the slot's last deployment. Outcomes from before it are not evidence, because they are from another time. A
person's first day is recorded too, so that gross harm need not wait for a whole week.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby, takewhile
from typing import Any

from django.db import transaction
from django.db.models import Max, Min, QuerySet

from core import clock
from deployments.engine.arm_assignment import EPOCH, week_of
from deployments.engine.evidence.restarts import SPAN
from deployments.models import Deployment, EvidenceUnit, EvidenceWeek, ServingSlot
from deployments.selectors.health import FIRST_DAYS, arms_compared, epoch_number, first_week, last_deployment
from deployments.services.health.outcome_sums import outcome_sums
from loops.engine.heads import MAIN_HEAD
from loops.selectors import loop_version_current
from privacy.models import Choice
from privacy.selectors.keys import ciphers_known
from privacy.services.people.data_keys import keys_held

_DAY = timedelta(days=1)
_PEOPLE = 2_000  # people recorded in one transaction
_FACTS = (
    "decision__person_id", "version", "decision__decided_at", "action", "decision__row_key", "decision__outcome__payload",
    "decision__outcome__harmful",
)  # fmt: skip


def evidence_fold(*, slot: ServingSlot) -> int:
    """Write the evidence units of all weeks and first days that have closed since the slot's last deployment, for both arms.

    Fallbacks and explored choices are left out: the version did not cause them, and they would not end with it. Several workers
    may record at once or be killed at any point, because a unit is unique and uses closed outcomes only.

    Returns: the number of new units.
    """
    deployment = last_deployment(slot)
    if deployment is None:
        return 0
    fold = _Fold(slot, deployment)
    return fold.first_days() + fold.weeks()


class _Fold:
    """Record the closed outcomes of one deployment."""

    def __init__(self, slot: ServingSlot, deployment: Deployment) -> None:
        self.spec = spec = loop_version_current(slot.loop.name).spec
        self.slot, self.deployment, self.now = slot, deployment, clock.now()
        self.deadline = timedelta(seconds=spec.reward.deadline_seconds)
        self.day = min(_DAY, self.deadline)
        self.reference = spec.head(slot.head).reference_index if slot.head == MAIN_HEAD else None
        self.chosen: QuerySet[Choice] = Choice.objects.filter(
            head=slot.head,
            version__in=[version.pk for version in arms_compared(slot).versions],
            fallback="",
            explored=False,
            decision__served__isnull=False,
        )

    def weeks(self) -> int:
        """Record every complete week that is not recorded yet, the oldest first."""
        deployment, first = self.deployment, first_week(self.deployment)
        done = set(EvidenceWeek.objects.filter(deployment=deployment).values_list("week", flat=True))
        ended = week_of(deployment.created_at, self.now - self.deadline)
        due = [week for week in range(first, ended) if week not in done]
        return sum(units for units in takewhile(lambda units: units is not None, map(self._week, due)))  # type: ignore[misc]

    def _week(self, week: int) -> int | None:
        """Record one week. Returns the number of new units, or None while an outcome of it is open."""
        begins = self.deployment.created_at + (week - 1) * EPOCH
        chosen = self.chosen.filter(decision__decided_at__gte=begins, decision__decided_at__lt=begins + EPOCH)
        if chosen.filter(decision__served__closed_at__isnull=True).exists():
            return None
        number, closes = epoch_number(self.deployment, week), begins + EPOCH + self.deadline
        known = EvidenceUnit.objects.filter(slot=self.slot, epoch=number).values("data_key_id")
        people = chosen.exclude(decision__person_id__in=known).values_list("decision__person_id", flat=True)
        due = sorted(set(people))
        written = sum(
            self._write(chosen, number, dict.fromkeys(due[i : i + _PEOPLE], closes))
            for i in range(0, len(due), _PEOPLE)
        )
        EvidenceWeek.objects.get_or_create(deployment=self.deployment, week=week)
        return written

    def first_days(self) -> int:
        """Record people's first days, in the order of their first exposure and up to the first one with an open outcome.

        Both arms share this order, so a later unit never comes before an older one. Only people who come in the first four weeks
        count: later faults are found by weeks.
        """
        began, number = self.deployment.created_at, epoch_number(self.deployment, FIRST_DAYS)
        stored = EvidenceUnit.objects.filter(slot=self.slot, epoch=number)
        since = max(began, stored.aggregate(last=Max("first_exposed_at"))["last"] or began)
        chosen = self.chosen.filter(decision__decided_at__gte=since)
        new = chosen.filter(decision__decided_at__lt=began + SPAN * EPOCH)
        new = new.exclude(decision__person_id__in=stored.values("data_key_id"))
        firsts = new.values("decision__person_id").annotate(first=Min("decision__decided_at"))
        ready = firsts.filter(first__lt=self.now - self.day - self.deadline).order_by("first", "decision__person_id")
        due: dict[int, datetime] = dict(ready.values_list("decision__person_id", "first")[:_PEOPLE])
        open_now = chosen.filter(decision__person_id__in=due, decision__served__closed_at__isnull=True)
        waiting = {
            person
            for person, decided_at in open_now.values_list("decision__person_id", "decision__decided_at")
            if decided_at <= due[person] + self.day
        }
        closed = dict(takewhile(lambda pair: pair[0] not in waiting, due.items()))
        ends = {person: first + self.day + self.deadline for person, first in closed.items()}
        return self._write(chosen, number, ends)

    def _write(self, chosen: QuerySet[Choice], number: int, closes: dict[int, datetime]) -> int:
        """Write the units of people, by when their outcomes close. A decision counts if it was made one deadline before that."""
        units = sorted(self._units(chosen, number, closes), key=lambda unit: (unit.first_exposed_at, unit.data_key_id))
        with transaction.atomic():
            held = keys_held([unit.data_key_id for unit in units])  # nothing is stored about a person being erased
            stored = [unit for unit in units if unit.data_key_id in held]
            return len(EvidenceUnit.objects.bulk_create(stored, ignore_conflicts=True))

    def _units(self, chosen: QuerySet[Choice], number: int, closes: dict[int, datetime]) -> Iterable[EvidenceUnit]:
        keys = ciphers_known(list(closes))
        rows = chosen.filter(decision__person_id__in=keys).values_list(*_FACTS)
        ordered = rows.order_by("decision__person_id", "version", "decision__decided_at")
        for (person, version), group in groupby(ordered.iterator(chunk_size=5_000), key=lambda row: row[:2]):
            within: Sequence[Any] = [row for row in group if row[2] <= closes[person] - self.deadline]
            if within:
                yield EvidenceUnit(
                    slot=self.slot, version_id=version, data_key_id=person, epoch=number, first_exposed_at=within[0][2],
                    closes_at=closes[person],
                    **outcome_sums(self.spec, keys[person], person, [row[3:] for row in within], self.reference),
                )  # fmt: skip
