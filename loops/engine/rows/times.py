"""Read the time of a row: written times, times since 1970, running numbers of decision points, and the person's time zone.

A wrong time is refused with the way to write it. Errors never repeat the text, because it is personal data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from core.durations import DAY
from loops.engine.rows.cells import MISSING, RowError, is_missing, parse_number
from loops.engine.rows.transforms import parse_transform
from loops.engine.spec import LoopSpec

_WRITTEN = re.compile(
    r"(\d{4})[/.-](\d{1,2})[/.-](\d{1,2})"
    r"(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,6})\d*)?)?(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?)?\Z",
    re.IGNORECASE,
)
_BEFORE_ZONE = re.compile(r"(?<=\d)\s*(?:(?:UTC|GMT)\Z|\s(?=(?:Z|[+-]\d{2}(?::?\d{2})?)\Z))", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)(?:[.,](\d+))?\Z")
_SCIENTIFIC = re.compile(r"\d+(?:[.,]\d+)?E[+-]?\d+\Z", re.IGNORECASE)
_OFFSET = re.compile(r"(?:Z|UTC|GMT)?(?:([+-])(\d{1,2})(?::?(\d{2}))?)?\Z", re.IGNORECASE)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_POINT = datetime(2000, 1, 1)
_POINTS = 10_000_000  # smaller numbers are decision points; a date without dashes has eight digits
_UNITS = {10**9: 1, 10**12: 10**3, 10**15: 10**6, 10**18: 10**9}  # least number, and parts of a second that it counts
_SERIALS = range(36_526, 73_051)  # day numbers of a spreadsheet from 2000 to 2099
_RUNNING_DAYS = 3_650  # ten years of decision points; a larger number in the range of day numbers is one of them
_YEARS = range(1900, 2201)
_QUARTER, _FARTHEST = 15, 18 * 60  # minutes: offsets are whole quarters of an hour


class TimeReader:
    """Read the times of rows, in the person's time zone where a column gives it."""

    def __init__(self, spec: LoopSpec) -> None:
        imports = spec.imports
        self._column, self._points, self._decimal = imports.time, spec.decisions_per_day, imports.decimal
        self._zone, self._offset = imports.time_zone, imports.utc_offset
        transform = imports.transforms.get(self._offset or "")
        self._convert = parse_transform(transform) if transform else float

    def read(self, row: Mapping[str, str]) -> datetime:
        """Return the time of a row.

        Raises: RowError for a time or a zone that cannot be read.
        """
        return parse_time(row.get(self._column, ""), self._column, self._points, self._zone_of(row))

    def _zone_of(self, row: Mapping[str, str]) -> tzinfo | None:
        if self._zone is not None:
            return parse_zone(row.get(self._zone, ""), self._zone)
        if self._offset is None:
            return None
        return _minutes(
            self._convert(parse_number(row.get(self._offset, ""), self._offset, self._decimal)), self._offset
        )


def parse_time(text: str, column: str, points_per_day: int, zone: tzinfo | None = None) -> datetime:
    """Parse a time and return it with an offset from UTC.

    Accepted: ISO 8601, also with a blank before the offset; "2015/7/22 16:30"; seconds, milliseconds, microseconds or
    nanoseconds since 1970; and the running number of a decision point (``points_per_day`` of them make a day).
    Args: zone: the person's. Without one, a time without an offset is the person's local time, labelled as UTC.
    Raises: RowError.
    """
    text = _BEFORE_ZONE.sub(lambda found: "" if found[0].isspace() else "Z", text.strip())
    if text.lower() in MISSING:
        raise RowError("missing_time", f"column {column!r} is empty")
    try:
        parsed = _counted(text, column, points_per_day) or _written(text) or datetime.fromisoformat(text)
        if zone is not None:
            parsed = _in_zone(parsed, zone)
    except (ValueError, OverflowError):
        raise RowError("bad_time", _bad_time(text, column)) from None
    if parsed.year not in _YEARS:
        raise RowError("bad_time", f"column {column!r} is a time outside the years 1900 to 2200")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def parse_zone(text: str, column: str) -> tzinfo | None:
    """Parse a time zone: a name such as Europe/Berlin, or an offset such as +02:00. An empty cell gives None.

    Raises: RowError.
    """
    if is_missing(text):
        return None
    zone = _zone_named(text.strip())
    if zone is None:
        raise RowError("bad_zone", f"column {column!r} is no time zone such as Europe/Berlin or +02:00")
    return zone


@lru_cache(maxsize=1_000)
def _zone_named(name: str) -> tzinfo | None:
    found = _OFFSET.match(name)
    if found is not None:
        sign, hours, minutes = found.groups(default="0")
        offset = 60 * int(hours) + int(minutes)
        return timezone(timedelta(minutes=-offset if sign == "-" else offset)) if offset <= _FARTHEST else None
    if name == "localtime":  # whatever the machine is set to
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def _minutes(offset: float, column: str) -> tzinfo | None:
    if math.isnan(offset):
        return None
    if abs(offset) > _FARTHEST or offset % _QUARTER:
        raise RowError(
            "bad_zone",
            f'column {column!r} is no offset in minutes east of UTC; a column of hours needs the transform "x * 60"',
        )
    return timezone(timedelta(minutes=offset))


def _in_zone(time: datetime, zone: tzinfo) -> datetime:
    """Return a time in a zone, with the zone's offset at that time. A fixed offset compares the same at a change of clocks."""
    local = time.astimezone(zone) if time.tzinfo else time.replace(tzinfo=zone)
    return local.replace(tzinfo=timezone(local.utcoffset() or timedelta(0)))


def _counted(text: str, column: str, points_per_day: int) -> datetime | None:
    """Return the time that a plain number means, or None for another text. Raises: RowError for a spreadsheet's day number."""
    found = _NUMBER.match(text)
    if found is None:
        return None
    whole, parts = int(found[1]), (found[2] or "").rstrip("0")
    if whole < _POINTS:
        if whole in _SERIALS and (parts or whole > _RUNNING_DAYS * points_per_day):
            raise RowError(
                "spreadsheet_time",
                f"column {column!r} looks like the day number of a spreadsheet; format the column as yyyy-mm-dd hh:mm, and "
                "write the file again",
            )
        if parts:
            raise ValueError
        days, point = divmod(whole, points_per_day)
        return _FIRST_POINT + timedelta(days=days, seconds=DAY * point / points_per_day)
    units = [unit for least, unit in _UNITS.items() if least <= whole < 10 * least]
    if not units:
        return None
    return _EPOCH + timedelta(microseconds=int(Decimal(f"{whole}.{parts or 0}") * 1_000_000 / units[0]))


def _written(text: str) -> datetime | None:
    match = _WRITTEN.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _ = match.groups(default="0")
    micro = int(fraction.ljust(6, "0"))
    time = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), micro)
    return time if match["zone"] is None else time.replace(tzinfo=_zone_named(match["zone"]))


def _bad_time(text: str, column: str) -> str:
    if _SCIENTIFIC.match(text):
        return f"column {column!r} is a number in scientific notation, which loses digits; write all digits of the time"
    return f"column {column!r} is not a time such as 2024-05-31T16:30"
