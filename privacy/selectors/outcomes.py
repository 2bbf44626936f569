"""Count the outcomes of served decisions: open, overdue, closed, and late reward events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Q
from django.db.models.functions import Now

from privacy.models import RewardEvent, ServedDecision

_LOOP = "decision__loop_version__loop__name"


@dataclass(frozen=True)
class OutcomeCounts:
    """Counts of one loop's served decisions.

    ``open`` decisions wait for their deadline. ``overdue`` ones are past it and not closed yet. ``closed`` ones are settled.
    ``heard`` counts those with an outcome, reported or by default. ``late`` counts reward events that came after the deadline.
    """

    open: int
    overdue: int
    closed: int
    heard: int
    late: int


def outcome_counts(*, since: datetime) -> dict[str, OutcomeCounts]:
    """Count outcomes of decisions made since ``since``, by loop name, in two queries. Loops without decisions are left out."""
    served = ServedDecision.objects.filter(decision__decided_at__gte=since).values(loop=F(_LOOP))
    not_closed, due = Q(closed_at__isnull=True), Q(closes_at__lte=Now())
    counted = served.annotate(
        open=Count("pk", filter=not_closed & ~due),
        overdue=Count("pk", filter=not_closed & due),
        closed=Count("closed_at"),
        heard=Count("decision__outcome"),
    )
    events = RewardEvent.objects.filter(late=True, served__decision__decided_at__gte=since)
    late = dict(events.values_list(f"served__{_LOOP}").annotate(Count("pk")))
    return {row["loop"]: _counts(row, late) for row in counted}


def _counts(row: Mapping[str, Any], late: Mapping[str, int]) -> OutcomeCounts:
    numbers = {name: row[name] for name in ("open", "overdue", "closed", "heard")}
    return OutcomeCounts(**numbers, late=late.get(row["loop"], 0))
