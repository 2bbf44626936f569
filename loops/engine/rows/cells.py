"""Parse the text of one cell as a number, a flag or a time. Errors never repeat the text, because it is personal data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from core.durations import DAY

MISSING = frozenset({"", "na", "n/a", "null", "none"})
_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0"})
_WRITTEN = re.compile(
    r"(\d{4})[/.-](\d{1,2})[/.-](\d{1,2})(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,6})\d*)?)?)?\Z"
)
_COUNTED = re.compile(r"\d+(?:\.0+)?\Z")
_FIRST_POINT = datetime(2000, 1, 1, tzinfo=UTC)
_POINTS = 10_000_000  # smaller integers are decision-point numbers; a date without dashes has eight digits
_SECONDS, _MILLISECONDS = (10**9, 10**10), (10**12, 10**13)
_YEARS = range(1900, 2201)


class RowError(Exception):
    """Report a rejected row: a reason code for counting, and a text that names the column but never the value."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


def quoted_list(names: Iterable[str]) -> str:
    """Join names in quotes, separated by commas."""
    return ", ".join(repr(n) for n in names)


def is_missing(text: str) -> bool:
    """Return whether a cell is empty or states that there is no value."""
    return not text or text.strip().lower() in MISSING


def parse_number(text: str, column: str) -> float:
    """Parse a finite number. An empty cell gives NaN.

    Raises: RowError.
    """
    try:
        value = float(text)
    except ValueError:
        if is_missing(text):
            return math.nan
        raise RowError("not_a_number", f"column {column!r} is not a number") from None
    if not math.isfinite(value):
        raise RowError("not_finite", f"column {column!r} is not a finite number")
    if "_" in text:
        raise RowError("not_a_number", f"column {column!r} is not a number")
    return value


def parse_flag(text: str, column: str) -> bool:
    """Parse true or false in the usual spellings.

    Raises: RowError.
    """
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    if word in MISSING:
        raise RowError("missing_value", f"column {column!r} is empty")
    raise RowError("not_a_flag", f"column {column!r} is neither true nor false")


def parse_time(text: str, column: str, points_per_day: int) -> datetime:
    """Parse a time and return it with a time zone. A time without a zone is the person's local time, labelled as UTC.

    Accepted: ISO 8601, "2015/7/22 16:30", seconds or milliseconds since 1970, and the sequence number of a decision point
    (``points_per_day`` of them make a day).
    Raises: RowError.
    """
    text = text.strip()
    if text.lower() in MISSING:
        raise RowError("missing_time", f"column {column!r} is empty")
    try:
        parsed = _counted(float(text), points_per_day) if _COUNTED.match(text) else None
        parsed = parsed or _written(text) or datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise RowError("bad_time", f"column {column!r} is not a time such as 2024-05-31T16:30") from None
    if parsed.year not in _YEARS:
        raise RowError("bad_time", f"column {column!r} is a time outside the years 1900 to 2200")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _counted(number: float, points_per_day: int) -> datetime | None:
    if number < _POINTS:
        days, point = divmod(int(number), points_per_day)
        return _FIRST_POINT + timedelta(days=days, seconds=DAY * point / points_per_day)
    if _SECONDS[0] <= number < _SECONDS[1]:
        return datetime.fromtimestamp(number, UTC)
    if _MILLISECONDS[0] <= number < _MILLISECONDS[1]:
        return datetime.fromtimestamp(number / 1000, UTC)
    return None


def _written(text: str) -> datetime | None:
    match = _WRITTEN.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction = match.groups(default="0")
    micro = int(fraction.ljust(6, "0"))
    return datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), micro)
