"""Read a TOML table strictly. Every problem is collected with its key, its value and the expected value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from core.durations import DAY, HOUR, MINUTE

_DURATION = re.compile(r"([0-9]+)([smhd])")
_UNITS = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY}
_LONGEST = 3_650 * DAY  # ten years; longer is a typing error, and far longer overflows a date
_LARGEST = 2**31 - 1  # what an integer column of a database holds
_MISSING = object()


class Problems:
    """Collect the problems of a file, in the order in which they were found."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, key: str, value: Any, expected: str, near: Iterable[str] = ()) -> None:
        """Record one problem. If the value resembles one of ``near``, the message suggests it."""
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        self.found.append(f"{key} = {shown}: expected {expected}{meant(value, near)}")

    def missing(self, key: str, expected: str) -> None:
        """Record a missing key."""
        self.found.append(f"{key} is missing: expected {expected}")


class TomlTable:
    """Read one table of the file, identified by its dotted name. ``close`` reports the keys that no reader requested."""

    def __init__(self, data: Any, name: str, problems: Problems) -> None:
        self.name, self.problems = name, problems
        self._known: set[str] = set()
        if not isinstance(data, Mapping):
            problems.add(name or "the file", data, "a table")
            data = {}
        self.data: Mapping[str, Any] = data

    def key(self, name: str) -> str:
        """Return the dotted name of a key in this table."""
        return f"{self.name}.{name}" if self.name else name

    def has(self, name: str) -> bool:
        """Return whether the key is present, and mark it as known."""
        self._known.add(name)
        return name in self.data

    def value(self, name: str, check: Callable[[Any], bool], expected: str, default: Any = _MISSING) -> Any:
        """Return the value if ``check`` accepts it. Otherwise record the problem and return the default (or None)."""
        if not self.has(name):
            if default is _MISSING:
                self.problems.missing(self.key(name), expected)
                return None
            return default
        value = self.data[name]
        if check(value):
            return value
        self.problems.add(self.key(name), value, expected)
        return None if default is _MISSING else default

    def number(self, name: str, expected: str, default: Any = _MISSING, *, low: float = -math.inf,
               high: float = math.inf, above: float = -math.inf) -> Any:  # fmt: skip
        """Read a finite number within [low, high] and above ``above``."""
        value = self.value(name, lambda v: is_number(v) and low <= v <= high and v > above, expected, default)
        return float(value) if is_number(value) else value

    def integer(self, name: str, default: Any = _MISSING, *, low: int = 1, high: int = _LARGEST) -> Any:
        """Read an integer from ``low`` to ``high``."""
        expected = f"an integer of at least {low}" + (f" and at most {high:,}" if high < _LARGEST else "")
        return self.value(
            name, lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high, expected, default
        )

    def text(self, name: str, expected: str = "a text", default: Any = _MISSING) -> Any:
        """Read a text that is not empty."""
        return self.value(name, lambda v: isinstance(v, str) and bool(v.strip()), expected, default)

    def texts(self, name: str, expected: str, default: Any = _MISSING, *, least: int = 1) -> Any:
        """Read a list of texts without duplicates (ignoring case) as a tuple."""
        texts = self.value(name, lambda v: is_texts(v) and len(v) >= least, expected, default)
        return tuple(texts) if texts is not None else None

    def one_of(self, name: str, allowed: tuple[str, ...], default: Any = _MISSING) -> Any:
        """Read one of the allowed texts."""
        expected = "one of " + ", ".join(allowed)
        if self.has(name) and self.data[name] not in allowed:
            self.problems.add(self.key(name), self.data[name], expected, allowed)
            return None if default is _MISSING else default
        return self.value(name, lambda v: True, expected, default)

    def seconds(self, name: str, default: Any = _MISSING) -> Any:
        """Read a duration like 30m, 24h or 7d, in seconds."""
        expected = 'a duration like "45s", "30m", "24h" or "7d", ten years at most'
        value = self.value(name, lambda v: duration(v) is not None, expected, default)
        return duration(value) if isinstance(value, str) else value

    def table(self, name: str) -> TomlTable:
        """Read a nested table. It is empty when absent."""
        return TomlTable(self.data[name] if self.has(name) else {}, self.key(name), self.problems)

    def text_map(self, name: str) -> dict[str, str]:
        """Read a nested table of texts. It is empty when absent."""
        inner = self.table(name)
        return {k: v for k in inner.data if (v := inner.text(k)) is not None}

    def close(self) -> None:
        """Report the keys that no reader requested."""
        known = sorted(self._known)
        for unknown in sorted(set(self.data) - self._known):
            hint = meant(unknown, known) or f"; known here: {', '.join(known) or 'nothing'}"
            self.problems.found.append(f"{self.key(unknown)} is not a key of a loop file{hint}")


def meant(value: Any, allowed: Iterable[str]) -> str:
    """Suggest the allowed text most similar to the value ("; did you mean ...?"), or return an empty string."""
    near = get_close_matches(value, list(allowed), n=1) if isinstance(value, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def is_number(value: Any) -> bool:
    """Return whether the value is a finite int or float. Booleans and integers too large for a float are not numbers."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_texts(value: Any) -> bool:
    """Return whether the value is a list of texts that are distinct ignoring case. Files are read case-insensitively."""
    return (
        isinstance(value, list)
        and all(isinstance(v, str) and v.strip() for v in value)
        and len({v.strip().lower() for v in value}) == len(value)
    )


def duration(value: Any) -> int | None:
    """Convert a duration text to seconds. Invalid texts and durations above ten years give None."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) and len(value) <= 12 else None
    seconds = int(match[1]) * _UNITS[match[2]] if match else _LONGEST + 1
    return seconds if seconds <= _LONGEST else None
