"""Bytes that two equal bodies share: what a retry is recognised by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def canonical_bytes(facts: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys and no spaces; numbers that are equal are written alike."""
    return json.dumps(_plain(facts), sort_keys=True, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
