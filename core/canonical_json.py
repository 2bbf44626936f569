"""Canonical JSON: one sequence of bytes for a value, before it is hashed.

Four forms, because what was hashed under each is stored. A new use takes ``canonical_json``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

_DEEPEST = 16


def canonical_json(value: Any) -> bytes:
    """Return JSON with sorted keys, no spaces, UTF-8: the same bytes before and after a JSON column of either database.

    Raises ValueError for what has no such form: numbers that are not finite, whole floats, bytes, keys that are no texts.
    """
    _check(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sorted_json(value: Any) -> bytes:
    """Return JSON with sorted keys, no spaces, ASCII, of any value that JSON can hold: by this a request is compared."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def equal_numbers_json(facts: Mapping[str, Any]) -> bytes:
    """Return sorted JSON in which 1 and 1.0 are written alike: by this a signal or reward that is sent again is recognised."""
    return sorted_json(_as_floats(facts))


def list_json(values: Sequence[Any]) -> bytes:
    """Return JSON of a list as Python writes it, with spaces: row keys of imports and signatures of features are made of it."""
    return json.dumps(list(values)).encode()


def _as_floats(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _as_floats(v) for k, v in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check(value: Any, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
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
        raise ValueError(f"the key {key!r} is no text")
    _check_plain(key)


def _check_plain(value: object) -> None:
    if isinstance(value, float):
        # A database may give 1.0 back as 1, and then the hash would be another: such numbers are kept as integers.
        if not math.isfinite(value) or value.is_integer():
            raise ValueError(f"{value!r} has no canonical form; give a whole number as an integer")
    elif isinstance(value, str):
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise ValueError("a text holds a character that databases do not keep")
    elif value is not None and not isinstance(value, (int, bool)):
        raise ValueError(f"a {type(value).__name__} has no canonical form")
