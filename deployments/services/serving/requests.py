"""What an app asks for and how it reads against a loop: unknown names are refused, numbers out of bounds clamped and said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import nan
from typing import NamedTuple

import msgspec

from core.errors import InputError
from loops.engine.spec import LoopSpec
from loops.engine.state.scalar import ScalarDynamics
from loops.engine.state.values import feature_value
from loops.selectors import DEFAULT_LOOP

LONGEST_REQUEST_ID = 100


class DecisionRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What an app asks. ``context``: the state as far as the app knows it; ``eligible``: the actions allowed now, by head."""

    request_id: str
    loop: str = DEFAULT_LOOP
    user_id: str | None = None
    context: dict[str, float | str] = {}
    local_time: datetime | None = None
    eligible: dict[str, list[str]] = {}


class ReadContext(NamedTuple):
    """A request read against a loop: F known values, NaN where it says nothing; names of the clamped; masks by head."""

    values: list[float]
    clamped: tuple[str, ...]
    eligible: Mapping[str, int]


def read_context(spec: LoopSpec, points: ScalarDynamics, request: DecisionRequest) -> ReadContext:
    """Check a request against the loop. Raises InputError that names what is unknown; numbers out of bounds are clamped."""
    if not 0 < len(request.request_id) <= LONGEST_REQUEST_ID:
        raise InputError(f"requestId has 1 to {LONGEST_REQUEST_ID} characters")
    if request.local_time is not None and request.local_time.tzinfo is None:
        raise InputError("localTime needs an offset from UTC, like 2025-06-01T08:30:00+02:00")
    values, clamped = [nan] * points.count, []
    for name, value in request.context.items():
        number = points.ranges.get(name)
        if number is not None and not isinstance(value, str) and number[1] <= value <= number[2]:
            values[number[0]] = value  # as nearly all are
            continue
        category = points.categories.get(name)
        if category is not None and isinstance(value, str) and value in category[1]:
            values[category[0]] = category[1][value]
            continue
        i = points.index.get(name)
        if i is None:
            known = ", ".join(points.index)
            raise InputError(f"context.{name} is no feature of loop {spec.name!r}; it has {known}")
        values[i], out = feature_value(spec, i, value)
        if out:
            clamped.append(name)
    return ReadContext(values, tuple(clamped), _masks(spec, request.eligible) if request.eligible else {})


def _masks(spec: LoopSpec, eligible: Mapping[str, list[str]]) -> dict[str, int]:
    """A bit an allowed action, for heads of which not all are. Raises InputError when the reference is not among them."""
    masks = {}
    for name, actions in eligible.items():
        if name not in spec.head_names:
            raise InputError(f"eligible.{name} is no head of loop {spec.name!r}; it has {', '.join(spec.head_names)}")
        head = spec.head(name)
        unknown = [a for a in actions if a not in head.actions]
        if unknown:
            raise InputError(f"eligible.{name} names {unknown[0]!r}; {name} may {', '.join(head.actions)}")
        if head.reference not in actions:
            raise InputError(f"eligible.{name} must keep {head.reference!r}, which is always safe")
        mask = sum(1 << head.actions.index(a) for a in set(actions))
        if mask != (1 << len(head.actions)) - 1:
            masks[name] = mask
    return masks
