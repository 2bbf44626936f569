"""Reading a TOML table strictly: every problem is collected with its key, the value found and what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

_DURATION = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_MISSING = object()


class Problems:
    """What is wrong with a file, in order of finding."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, key: str, value: Any, expected: str) -> None:
        """Note one problem."""
        shown = repr(value)
        self.found.append(f"{key} = {shown if len(shown) <= 60 else shown[:57] + '...'}: expected {expected}")

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

    def integer(self, name: str, expected: str, default: Any = _MISSING, *, low: int = 1) -> Any:
        """An integer of at least ``low``."""
        return self.value(
            name, lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= low, expected, default
        )

    def text(self, name: str, expected: str = "a text", default: Any = _MISSING) -> Any:
        """A text that is not empty."""
        return self.value(name, lambda v: isinstance(v, str) and bool(v.strip()), expected, default)

    def texts(self, name: str, expected: str, default: Any = _MISSING) -> Any:
        """A list of texts without repetition, as a tuple."""
        found = self.value(name, is_texts, expected, default)
        return tuple(found) if found is not None else None

    def one_of(self, name: str, allowed: tuple[str, ...], default: Any = _MISSING) -> Any:
        """One of the allowed texts."""
        return self.value(name, lambda v: v in allowed, "one of " + ", ".join(allowed), default)

    def seconds(self, name: str, default: Any = _MISSING) -> Any:
        """A duration like 30m, 24h or 7d, in seconds."""
        expected = 'a duration like "45s", "30m", "24h" or "7d"'
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
        for unknown in sorted(set(self.data) - self._known):
            near = get_close_matches(unknown, sorted(self._known), n=1)
            hint = (
                f"; did you mean {near[0]!r}?"
                if near
                else f"; known here: {', '.join(sorted(self._known)) or 'nothing'}"
            )
            self.problems.found.append(f"{self.key(unknown)} is not a key of a loop file{hint}")


def is_number(value: Any) -> bool:
    """A finite int or float (TOML's true is no number)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_texts(value: Any) -> bool:
    """A list of distinct texts, at least one."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(v, str) and v.strip() for v in value)
        and len(set(value)) == len(value)
    )


def duration(value: Any) -> int | None:
    """Seconds of a duration text; None when it is none."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) * _UNITS[match[2]] if match else None
