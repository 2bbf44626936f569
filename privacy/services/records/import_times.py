"""Say from when to when the rows of an imported file are.

No time is refused for its year, because a file may have a calendar of its own. So a mistyped year is said instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

AHEAD_OF_ANY_CLOCK = timedelta(days=1)  # no clock and no zone explains a later time


@dataclass(frozen=True, slots=True)
class ImportTimes:
    """The first and the last time of a file's rows (None: no row could be read), and how many lie more than a day ahead."""

    first: datetime | None = None
    last: datetime | None = None
    ahead: int = 0

    def with_row(self, at: datetime, latest: datetime) -> ImportTimes:
        """Return the times with those of another row. It lies ahead if it is after ``latest``."""
        first, last = self.first or at, self.last or at
        return ImportTimes(min(first, at), max(last, at), self.ahead + (at > latest))

    @property
    def sentence(self) -> str:
        """Say the range in words, and what to do about rows that lie ahead. Empty if no row could be read."""
        if self.first is None or self.last is None:
            return ""
        first, last = (at.astimezone(UTC).strftime("%Y-%m-%d %H:%M") for at in (self.first, self.last))
        said = f"the rows are from {first} to {last} UTC"
        if not self.ahead:
            return said
        lie = "1 row lies" if self.ahead == 1 else f"{self.ahead:,} rows lie"
        return f"{said}; {lie} more than a day after now, so check their year unless the file has a calendar of its own"

    def as_dict(self) -> dict[str, Any]:
        """Return the times as plain values, for JSON."""
        first, last = (None if at is None else at.astimezone(UTC).isoformat() for at in (self.first, self.last))
        return {"first": first, "last": last, "ahead": self.ahead, "sentence": self.sentence}
