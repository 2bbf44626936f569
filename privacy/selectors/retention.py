"""Reads of retention: what is kept of people, for how long, about how much of it there is, and when the oldest goes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, QuerySet

from core.durations import RECORDS_KEPT
from privacy.engine.dp.coarse_counts import two_digits
from privacy.models import Decision, ReleaseRound, ServingState, Signal


@dataclass(frozen=True)
class RetentionRule:
    """``rows``: to two digits. ``goes``: when the oldest of them goes; None: there is none."""

    what: str
    kept: timedelta
    rows: int
    goes: datetime | None


def retention() -> list[RetentionRule]:
    """The privacy floor's part, in four queries."""
    exports = ReleaseRound.objects.filter(expires_at__isnull=False).exclude(output=b"")
    return [
        retention_of("signals", Signal.objects.all(), "created_at", RECORDS_KEPT),
        retention_of(
            "decisions, with their choices, words and outcomes", Decision.objects.all(), "created_at", RECORDS_KEPT
        ),
        retention_of("what serving remembers", ServingState.objects.all(), "observed_at", RECORDS_KEPT),
        retention_of("exported rows", exports, "created_at", RECORDS_KEPT),
    ]


def retention_of(what: str, rows: QuerySet, since: str, kept: timedelta) -> RetentionRule:  # type: ignore[type-arg]
    """What a table keeps, by the column from which its time runs."""
    found = rows.aggregate(rows=Count("pk"), oldest=Min(since))
    return RetentionRule(what, kept, two_digits(found["rows"]), found["oldest"] + kept if found["oldest"] else None)
