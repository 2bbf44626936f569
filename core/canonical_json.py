"""Serialise a value to one reproducible sequence of bytes, ready for hashing.

There are five forms because hashes made under each of them are stored. New code uses ``canonical_json``, or ``facts_json`` for
the columns of a row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

_DEEPEST = 16
_ALIKE = frozenset({str, int, bool, type(None)})  # stored and read back as they are: nearly all that rows hold
_sorted_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def canonical_json(value: Any) -> bytes:
    """Return JSON in UTF-8 with sorted keys and no spaces. The bytes survive a round trip through a JSON column.

    Raises: ValueError for values without such a form: non-finite numbers, whole floats, bytes, or keys that are not strings.
    """
    _check(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sorted_json(value: Any) -> bytes:
    """Return ASCII JSON with sorted keys and no spaces, for any JSON value. Repeated requests are compared by it."""
    return _sorted_json(value).encode()


def equal_numbers_json(facts: Mapping[str, Any]) -> bytes:
    """Return sorted JSON that writes 1 and 1.0 alike. A repeated signal or reward is recognised by it."""
    return sorted_json(_as_floats(facts))


def facts_json(facts: Sequence[Any]) -> bytes:
    """Return sorted JSON of a row's columns, the same before and after both databases stored them.

    Whole floats are written as integers, because a JSON column of PostgreSQL may return one as the other. Times are written in
    UTC with microseconds, and bytes and UUIDs as hexadecimal digits.
    """
    return sorted_json(_as_stored(facts))


def list_json(values: Sequence[Any]) -> bytes:
    """Return the JSON of a list in Python's default format, with spaces. Import row keys and feature signatures use it."""
    return json.dumps(list(values)).encode()


def _as_floats(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _as_floats(v) for k, v in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_stored(value: Any) -> Any:
    if type(value) in _ALIKE:
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, (list, tuple)):
        return [_as_stored(v) for v in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, Mapping):
        return {k: _as_stored(v) for k, v in value.items()}
    return value.isoformat() if isinstance(value, date) else value


def _check(value: Any, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"the value is nested more than {_DEEPEST} levels deep")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_key(key)
            _check(inner, depth + 1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check(inner, depth + 1)
    else:
        _check_plain(value)


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise ValueError(f"the key {key!r} is not a string")
    _check_plain(key)


def _check_plain(value: object) -> None:
    if isinstance(value, float):
        # A database may return 1.0 as 1, and the hash would then differ. Whole numbers must therefore be integers.
        if not math.isfinite(value) or value.is_integer():
            raise ValueError(f"{value!r} has no canonical form; give a whole number as an integer")
    elif isinstance(value, str):
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise ValueError("a string holds a character that databases cannot store (NUL or a lone surrogate)")
    elif value is not None and not isinstance(value, (int, bool)):
        raise ValueError(f"a {type(value).__name__} has no canonical form")
