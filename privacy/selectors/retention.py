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

    ``rows`` is the number of rows, rounded to two digits if they describe people. ``oldest_expires`` is when the oldest row
    expires; None where ``rows`` is 0, and where no row expires.
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


def retention_of(
    records: str,
    rows: QuerySet,  # type: ignore[type-arg]
    since: str,
    stored_for: timedelta,
    *,
    of_people: bool = True,
) -> RetentionRule:
    """Return the retention rule of some rows; ``since`` names the column from which their time runs.

    Args: of_people: whether the rows describe people, so that their number is rounded.
    """
    counts = rows.aggregate(rows=Count("pk"), oldest=Min(since))
    number = two_digits(counts["rows"]) if of_people else counts["rows"]
    oldest = counts["oldest"] if number else None
    return RetentionRule(records, stored_for, number, oldest + stored_for if oldest else None)
