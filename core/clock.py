"""Tell the time to the services. Tests and the demo set it back, and so live months in minutes.

What is stored about people, versions and rollouts follows this clock. Leases, logins and deliveries follow the machine's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.atomic_files import atomic_file
from core.errors import InputError

_ZERO = timedelta(0)


class _Moved:
    """Hold how far this process's clock is set back: by its own hand, or by a file that several processes follow."""

    back = _ZERO
    file: Path | None = None


def now() -> datetime:
    """Return the present time in UTC, as far back as the clock is set."""
    machine = datetime.now(UTC)
    if _Moved.file is None and _Moved.back is _ZERO:
        return machine
    return machine - set_back_by()


def set_back_by() -> timedelta:
    """Return how far the clock is set back; zero in every real service. Raises InputError for an unreadable file."""
    return _Moved.back if _Moved.file is None else _seconds_in(_Moved.file)


def clock_follow(file: Path | None) -> None:
    """Set the clock back by the seconds that a file holds, read anew at every look. None follows the machine again.

    Raises: InputError, naming the file, if it does not hold a number of seconds of at least 0.
    """
    if file is not None:
        _seconds_in(file)
    _Moved.file = file


def clock_file_write(file: Path, by: timedelta) -> None:
    """Write how far the clock is set back, so that no process ever reads half of it."""
    with atomic_file(file, replace=True) as out:
        out.write(str(by.total_seconds()))


def clock_set_back(by: timedelta) -> None:
    """Set this process's clock back. Raises InputError for less than nothing: stored times must not lie ahead."""
    if by < _ZERO:
        raise InputError("the clock can only be set back; times ahead of the machine's own would be refused everywhere")
    _Moved.back = by or _ZERO


@contextmanager
def clock_at(time: datetime) -> Iterator[None]:
    """Begin a block at a past time, from which the clock runs on. Raises InputError for a time that has not come."""
    before = _Moved.back
    clock_set_back(datetime.now(UTC) - time)
    try:
        yield
    finally:
        _Moved.back = before


def _seconds_in(file: Path) -> timedelta:
    try:
        seconds = float(file.read_text())
    except (OSError, ValueError):
        seconds = math.nan
    if not 0 <= seconds <= 1e10:
        raise InputError(f"{file} does not say how far the clock is set back; write a number of seconds from 0 into it")
    return timedelta(seconds=seconds)
