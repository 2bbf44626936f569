"""Reading a TOML table strictly: every problem is collected with its key, the value found and what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from core.durations import DAY, HOUR, MINUTE

_DURATION = re.compile(r"([0-9]+)([smhd])")
_UNITS = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY}
_LONGEST = 3_650 * DAY  # ten years; longer is a slip, and far longer overflows a date
_LARGEST = 2**31 - 1  # what an integer column of a database holds
_MISSING = object()


class Problems:
    """What is wrong with a file, in order of finding."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, key: str, value: Any, expected: str, near: Iterable[str] = ()) -> None:
        """Note one problem; where the value resembles one of ``near``, that one is suggested."""
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        self.found.append(f"{key} = {shown}: expected {expected}{meant(value, near)}")

    def missing(self, key: str, expected: str) -> None:
        """Note a key that is absent."""
        self.found.append(f"{key} is missing: expected {expected}")


class Table:
    """One table of the file under its dotted name; keys that nobody reads are reported by ``close``."""

    def __init__(self, data: Any, name: str, problems: Problems) -> None:
        self.name, self.problems = name, problems
        self._known: set[str] = set()
        if not isinstance(data, Mapping):
            problems.add(name or "the file", data, "a table")
            data = {}
        self.data: Mapping[str, Any] = data

    def key(self, name: str) -> str:
        """The dotted key."""
        return f"{self.name}.{name}" if self.name else name

    def has(self, name: str) -> bool:
        """Whether the key is there; asking makes it known."""
        self._known.add(name)
        return name in self.data

    def value(self, name: str, check: Callable[[Any], bool], expected: str, default: Any = _MISSING) -> Any:
        """The value when ``check`` accepts it; else the problem is noted and the default (or None) is returned."""
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
        """A finite number within [low, high] and above ``above``."""
        found = self.value(name, lambda v: is_number(v) and low <= v <= high and v > above, expected, default)
        return float(found) if is_number(found) else found

    def integer(self, name: str, default: Any = _MISSING, *, low: int = 1, high: int = _LARGEST) -> Any:
        """An integer from ``low`` to ``high``."""
        expected = f"an integer of at least {low}" + (f" and at most {high:,}" if high < _LARGEST else "")
        return self.value(
            name, lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high, expected, default
        )

    def text(self, name: str, expected: str = "a text", default: Any = _MISSING) -> Any:
        """A text that is not empty."""
        return self.value(name, lambda v: isinstance(v, str) and bool(v.strip()), expected, default)

    def texts(self, name: str, expected: str, default: Any = _MISSING, *, least: int = 1) -> Any:
        """A list of texts without repetition (in small or capital letters), as a tuple."""
        found = self.value(name, lambda v: is_texts(v) and len(v) >= least, expected, default)
        return tuple(found) if found is not None else None

    def one_of(self, name: str, allowed: tuple[str, ...], default: Any = _MISSING) -> Any:
        """One of the allowed texts."""
        expected = "one of " + ", ".join(allowed)
        if self.has(name) and self.data[name] not in allowed:
            self.problems.add(self.key(name), self.data[name], expected, allowed)
            return None if default is _MISSING else default
        return self.value(name, lambda v: True, expected, default)

    def seconds(self, name: str, default: Any = _MISSING) -> Any:
        """A duration like 30m, 24h or 7d, in seconds."""
        expected = 'a duration like "45s", "30m", "24h" or "7d", ten years at most'
        found = self.value(name, lambda v: duration(v) is not None, expected, default)
        return duration(found) if isinstance(found, str) else found

    def table(self, name: str) -> Table:
        """A table inside this one; empty when absent."""
        return Table(self.data[name] if self.has(name) else {}, self.key(name), self.problems)

    def text_map(self, name: str) -> dict[str, str]:
        """A table of texts; empty when absent."""
        inner = self.table(name)
        return {k: v for k in inner.data if (v := inner.text(k)) is not None}

    def close(self) -> None:
        """Report keys that no reader asked for."""
        known = sorted(self._known)
        for unknown in sorted(set(self.data) - self._known):
            hint = meant(unknown, known) or f"; known here: {', '.join(known) or 'nothing'}"
            self.problems.found.append(f"{self.key(unknown)} is not a key of a loop file{hint}")


def meant(value: Any, allowed: Iterable[str]) -> str:
    """A question that suggests the allowed text nearest to the value; empty when none is near."""
    near = get_close_matches(value, list(allowed), n=1) if isinstance(value, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def is_number(value: Any) -> bool:
    """A finite int or float (TOML's true is no number, and neither is an integer too large for a float)."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_texts(value: Any) -> bool:
    """A list of texts that differ by more than small and capital letters, which reading a file does not tell apart."""
    return (
        isinstance(value, list)
        and all(isinstance(v, str) and v.strip() for v in value)
        and len({v.strip().lower() for v in value}) == len(value)
    )


def duration(value: Any) -> int | None:
    """Seconds of a duration text; None when it is none, or longer than ten years."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) and len(value) <= 12 else None
    seconds = int(match[1]) * _UNITS[match[2]] if match else _LONGEST + 1
    return seconds if seconds <= _LONGEST else None
