"""Read the state of retention: which records of people are stored, for how long, roughly how many, and when the oldest expire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, QuerySet

from core.durations import RECORDS_KEPT
from privacy.engine.dp.coarse_counts import two_digits
from privacy.models import Decision, ReleaseRound, ServingState, Signal


@dataclass(frozen=True)
class RetentionRule:
    """How long one kind of record is stored.

    ``rows`` is the number of rows to two digits. ``oldest_expires`` is when the oldest row expires; None without rows.
    """

    records: str
    stored_for: timedelta
    rows: int
    oldest_expires: datetime | None


def retention() -> list[RetentionRule]:
    """Return the retention rules of the privacy floor, in four queries."""
    exports = ReleaseRound.objects.filter(expires_at__isnull=False).exclude(output=b"")
    return [
        retention_of("signals", Signal.objects.all(), "created_at", RECORDS_KEPT),
        retention_of(
            "decisions, with their choices, reward events and outcomes",
            Decision.objects.all(),
            "created_at",
            RECORDS_KEPT,
        ),
        retention_of("serving states", ServingState.objects.all(), "observed_at", RECORDS_KEPT),
        retention_of("exported rows", exports, "created_at", RECORDS_KEPT),
    ]


def retention_of(records: str, rows: QuerySet, since: str, stored_for: timedelta) -> RetentionRule:  # type: ignore[type-arg]
    """Return the retention rule of some rows; ``since`` names the column from which their time runs."""
    counts = rows.aggregate(rows=Count("pk"), oldest=Min(since))
    return RetentionRule(
        records, stored_for, two_digits(counts["rows"]), counts["oldest"] + stored_for if counts["oldest"] else None
    )
