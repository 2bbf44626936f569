from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loops.engine.rows.cells import RowError, parse_flag, parse_number, parse_time


@pytest.mark.parametrize(
    "text",
    [
        "2015-07-22T16:30",
        "2015-07-22 16:30:00",
        "2015/7/22 16:30",
        "2015.7.22 16:30",
        "20150722T1630",
        "2015-07-22T16:30:00.000",
        " 2015-07-22T16:30Z ",
    ],
)
def test_ways_to_write_one_moment(text: str) -> None:
    assert parse_time(text, "at", 4) == datetime(2015, 7, 22, 16, 30, tzinfo=UTC)


def test_a_zone_is_kept_so_that_the_persons_day_is_known() -> None:
    got = parse_time("2015-07-22T23:30:00-04:00", "at", 4)
    assert got.date().isoformat() == "2015-07-22"
    assert got == datetime(2015, 7, 23, 3, 30, tzinfo=UTC)


def test_a_day_alone_is_its_beginning() -> None:
    assert parse_time("2015/7/22", "at", 4) == parse_time("20150722", "at", 4) == datetime(2015, 7, 22, tzinfo=UTC)


def test_seconds_and_milliseconds_since_1970() -> None:
    moment = datetime(2015, 7, 22, 16, 30, tzinfo=UTC)
    seconds = int(moment.timestamp())
    assert (
        parse_time(str(seconds), "at", 4)
        == parse_time(f"{seconds}000", "at", 4)
        == parse_time(f"{seconds}.0", "at", 4)
        == moment
    )


def test_running_numbers_of_decision_points_keep_their_order_and_their_days() -> None:
    points = [parse_time(str(i), "t", 4) for i in range(12)]
    assert points == sorted(set(points))
    assert [(p.date() - points[0].date()).days for p in points] == [0] * 4 + [1] * 4 + [2] * 4


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 12, 30)),
    st.integers(-14 * 60, 14 * 60),
)
def test_every_iso_time_is_read_back(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_time(aware.isoformat(), "at", 4) == aware
    assert parse_time(moment.isoformat(), "at", 4) == moment.replace(tzinfo=UTC)


@given(st.text(max_size=20))
def test_any_text_is_a_time_or_rejected(text: str) -> None:
    try:
        assert parse_time(text, "at", 4).tzinfo is not None
    except RowError as error:
        assert error.reason in ("bad_time", "missing_time")


@given(st.text(max_size=20))
def test_any_text_is_a_number_missing_or_rejected(text: str) -> None:
    try:
        parse_number(text, "x")
    except RowError as error:
        assert error.reason in ("not_a_number", "not_finite")


@pytest.mark.parametrize(
    ("text", "flag"), [("True", True), (" yes", True), ("1.0", True), ("FALSE", False), ("0", False)]
)
def test_flags(text: str, flag: bool) -> None:
    assert parse_flag(text, "x") is flag
