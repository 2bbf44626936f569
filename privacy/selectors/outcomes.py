"""Reads of outcomes: how many decisions wait for theirs, how many are settled, what came too late."""

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
    """Served decisions of one loop. ``open`` wait for their deadline, ``overdue`` are past it and not closed yet, ``closed`` are
    settled, ``heard`` of these have an outcome (told or by default). ``late``: words that came too late to be learned.
    """

    open: int
    overdue: int
    closed: int
    heard: int
    late: int


def outcome_counts(*, since: datetime) -> dict[str, OutcomeCounts]:
    """Loop name -> counts of what was decided from ``since`` on, in two queries; loops that served nothing are left out."""
    served = ServedDecision.objects.filter(decision__decided_at__gte=since).values(loop=F(_LOOP))
    not_closed, due = Q(closed_at__isnull=True), Q(closes_at__lte=Now())
    counted = served.annotate(
        open=Count("pk", filter=not_closed & ~due),
        overdue=Count("pk", filter=not_closed & due),
        closed=Count("closed_at"),
        heard=Count("decision__outcome"),
    )
    words = RewardEvent.objects.filter(late=True, served__decision__decided_at__gte=since)
    late = dict(words.values_list(f"served__{_LOOP}").annotate(Count("pk")))
    return {row["loop"]: _counts(row, late) for row in counted}


def _counts(row: Mapping[str, Any], late: Mapping[str, int]) -> OutcomeCounts:
    numbers = {name: row[name] for name in ("open", "overdue", "closed", "heard")}
    return OutcomeCounts(**numbers, late=late.get(row["loop"], 0))
