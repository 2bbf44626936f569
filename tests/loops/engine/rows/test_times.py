from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loops.engine.rows.cells import RowError
from loops.engine.rows.times import TimeReader, parse_time, parse_zone
from tests.factories.diary import diary


def rejected(text: str, points_per_day: int = 5) -> RowError:
    with pytest.raises(RowError) as caught:
        parse_time(text, "at", points_per_day)
    return caught.value


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
        assert error.reason in ("bad_time", "missing_time", "spreadsheet_time")


class TestAnOffset:
    @pytest.mark.parametrize(
        "text",
        [
            "2024-05-01 12:00:00 +02:00", "2024-05-01T12:00+0200", "2024/5/1 12:00 +02", "2024-05-01 12:00:00.000  +02:00",
            "2024-05-01 10:00 UTC", "2024-05-01 10:00:00 gmt", "2024-05-01T10:00z", "2024-05-01 10:00 Z",
        ],
    )  # fmt: skip
    def test_may_follow_a_blank_and_be_a_word(self, text: str) -> None:
        assert parse_time(text, "at", 5) == datetime(2024, 5, 1, 10, tzinfo=UTC)

    @pytest.mark.parametrize("text", ["2024-05-01 12:00 +2:5", "12:00 UTC", "1714554000 UTC"])
    def test_belongs_to_a_time_of_day(self, text: str) -> None:
        assert rejected(text).reason == "bad_time"


class TestTimesSince1970:
    moment = datetime(2024, 5, 1, 9, 0, 0, 250_000, tzinfo=UTC)

    @pytest.mark.parametrize(
        "text", ["1714554000.25", "1714554000,25", "1714554000250", "1714554000250.0", "1714554000250000", "1714554000250000000"]
    )  # fmt: skip
    def test_may_have_fractions_and_any_usual_unit(self, text: str) -> None:
        assert parse_time(text, "at", 5) == self.moment

    @given(st.datetimes(min_value=datetime(2002, 1, 1), max_value=datetime(2200, 12, 30)))
    def test_are_read_to_the_microsecond(self, time: datetime) -> None:
        micro = (time - datetime(1970, 1, 1)) // timedelta(microseconds=1)
        assert parse_time(str(micro), "at", 5) == time.replace(tzinfo=UTC)
        assert parse_time(f"{micro // 10**6}.{micro % 10**6:06d}", "at", 5) == time.replace(tzinfo=UTC)

    def test_in_scientific_notation_have_lost_digits(self) -> None:
        error = rejected("1.7145684E+09")
        assert error.reason == "bad_time" and "write all digits" in error.text


class TestASpreadsheetsDayNumber:
    @pytest.mark.parametrize("text", ["45413.375", "45413,375", "45413", "45413.0"])
    def test_is_refused_with_a_hint(self, text: str) -> None:
        error = rejected(text)
        assert error.reason == "spreadsheet_time" and "format the column as yyyy-mm-dd hh:mm" in error.text

    def test_is_a_running_number_where_a_day_has_many_points(self) -> None:
        assert parse_time("45413", "at", 24).year == 2005

    def test_other_fractions_are_no_running_numbers(self) -> None:
        assert rejected("12.5").reason == "bad_time"


class TestTheZoneOfAPerson:
    def read(self, at: str, zone: str, **imports: str) -> datetime:
        reader = TimeReader(diary(**(imports or {"time_zone": "tz"})))  # type: ignore[arg-type]
        return reader.read({"at": at, "tz": zone})

    @pytest.mark.parametrize("zone", ["Europe/Berlin", "+02:00", "+0200", "+2", "UTC+2"])
    def test_makes_a_plain_time_the_persons_local_one(self, zone: str) -> None:
        got = self.read("2024-05-01 00:30", zone)
        assert got == datetime(2024, 4, 30, 22, 30, tzinfo=UTC) and got.date().isoformat() == "2024-05-01"

    @pytest.mark.parametrize("at", ["2024-05-01T23:30Z", "1714606200", "1714606200000"])
    def test_gives_the_persons_day_of_a_time_that_is_known(self, at: str) -> None:
        got = self.read(at, "Europe/Berlin")
        assert got == datetime(2024, 5, 1, 23, 30, tzinfo=UTC) and got.date().isoformat() == "2024-05-02"

    def test_changes_with_the_season_and_compares_as_a_fixed_offset(self) -> None:
        assert self.read("2024-01-01 12:00", "Europe/Berlin") == datetime(2024, 1, 1, 11, tzinfo=UTC)
        repeated = self.read("2024-10-27 02:30", "Europe/Berlin")
        assert repeated == repeated.astimezone(UTC) == datetime(2024, 10, 27, 0, 30, tzinfo=UTC)

    def test_may_be_missing_where_a_time_says_it_itself(self) -> None:
        assert self.read("2024-05-01T23:30+02:00", "").date().isoformat() == "2024-05-01"

    @pytest.mark.parametrize("zone", ["Mars/Olympus", "+25:00", "../etc/passwd", "localtime", "Europe", "PST8X", "120"])
    def test_that_nobody_knows_is_rejected_with_examples(self, zone: str) -> None:
        with pytest.raises(RowError, match=r"no time zone such as Europe/Berlin or \+02:00") as caught:
            self.read("2024-05-01 12:00", zone)
        assert caught.value.reason == "bad_zone" and repr(zone) not in caught.value.text

    @pytest.mark.parametrize(("offset", "hour"), [("120", 10), ("-330", 17), ("0", 12), ("120.0", 10)])
    def test_may_be_minutes_east_of_utc(self, offset: str, hour: int) -> None:
        assert self.read("2024-05-01 12:00", offset, utc_offset="tz").astimezone(UTC).hour == hour

    def test_may_be_hours_with_a_transform(self) -> None:
        reader = TimeReader(diary(utc_offset="tz", transforms={"tz": "x * 60"}))
        assert reader.read({"at": "2024-05-01 12:00", "tz": "2"}).astimezone(UTC).hour == 10

    @pytest.mark.parametrize("offset", ["2", "7200", "-1081"])
    def test_in_another_unit_is_rejected_with_the_transform(self, offset: str) -> None:
        with pytest.raises(RowError, match=r'needs the transform "x \* 60"'):
            self.read("2024-05-01 12:00", offset, utc_offset="tz")

    def test_names_are_those_of_the_time_zone_database(self) -> None:
        assert parse_zone("Asia/Kathmandu", "tz") is not None and parse_zone("", "tz") is None
