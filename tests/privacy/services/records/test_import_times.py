"""The report of an import says from when to when the rows are, and how many lie ahead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from privacy.services.records.import_times import ImportTimes

NOON = datetime(2025, 6, 3, 12, tzinfo=UTC)


def times(*ats: datetime) -> ImportTimes:
    found = ImportTimes()
    for at in ats:
        found = found.with_row(at, NOON)
    return found


def test_rows_in_any_order_make_a_range() -> None:
    found = times(NOON, NOON - timedelta(days=2), NOON - timedelta(days=1))
    assert found == ImportTimes(NOON - timedelta(days=2), NOON, 0)
    assert found.sentence == "the rows are from 2025-06-01 12:00 to 2025-06-03 12:00 UTC"


def test_only_what_is_later_than_the_latest_lies_ahead() -> None:
    found = times(NOON, NOON + timedelta(seconds=1), NOON + timedelta(days=9))
    assert found.ahead == 2 and "2 rows lie more than a day after now" in found.sentence


def test_times_are_said_in_utc() -> None:
    there = timezone(timedelta(hours=5))
    assert times(NOON.astimezone(there)).as_dict()["first"] == "2025-06-03T12:00:00+00:00"


def test_without_a_readable_row_nothing_is_said() -> None:
    assert times().as_dict() == {"first": None, "last": None, "ahead": 0, "sentence": ""}
