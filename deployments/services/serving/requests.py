"""Parse an app's decision request against a loop. Unknown names are refused, and numbers outside their bounds are clamped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import nan
from typing import Annotated, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core.errors import InputError
from core.identifiers import LONGEST_IDENTIFIER
from loops.engine.spec import Head, LoopSpec
from loops.engine.state.scalar import ScalarDynamics
from loops.engine.state.values import feature_value
from loops.selectors import DEFAULT_LOOP

LONGEST_REQUEST_ID = 100


class DecisionRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """An app's decision request. ``context``: the state as far as the app knows it. ``eligible``: the allowed actions by head.
    ``own_choice``: the action that the app would choose itself, by head. It is served while an apprentice watches that head.

    The service checks what the limits of the fields document, with errors that say more.
    """

    request_id: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": LONGEST_REQUEST_ID})]
    loop: str = DEFAULT_LOOP
    user_id: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": LONGEST_IDENTIFIER})] | None = None
    context: dict[str, float | str] = {}
    local_time: Annotated[datetime, Meta(extra_json_schema={"format": "date-time"})] | None = None
    eligible: dict[str, list[str]] = {}
    own_choice: dict[str, str] | UnsetType = (
        UNSET  # left out of the encoded body, so earlier requests keep their digests
    )


class ReadContext(NamedTuple):
    """Hold a parsed request: F values (NaN if not given), names of clamped features, and by head the masks of allowed actions and
    the app's own choices."""

    values: list[float]
    clamped: tuple[str, ...]
    eligible: Mapping[str, int]
    own: Mapping[str, int]


def read_context(spec: LoopSpec, dynamics: ScalarDynamics, request: DecisionRequest) -> ReadContext:
    """Check a request against the loop, and clamp numbers outside their bounds. Raises InputError for unknown names."""
    if not 0 < len(request.request_id) <= LONGEST_REQUEST_ID:
        raise InputError(f"requestId must have 1 to {LONGEST_REQUEST_ID} characters", field="requestId")
    if request.local_time is not None and request.local_time.tzinfo is None:
        raise InputError("localTime must have an offset from UTC, like 2025-06-01T08:30:00+02:00", field="localTime")
    values, clamped = [nan] * dynamics.count, []
    for name, value in request.context.items():
        number = dynamics.ranges.get(name)
        if number is not None and not isinstance(value, str) and number[1] <= value <= number[2]:
            values[number[0]] = value  # the common case
            continue
        category = dynamics.categories.get(name)
        if category is not None and isinstance(value, str) and value in category[1]:
            values[category[0]] = category[1][value]
            continue
        i = dynamics.index.get(name)
        if i is None:
            known, place = ", ".join(dynamics.index), f"context.{name[:40]}"
            raise InputError(f"{place} is not a feature of loop {spec.name!r}; its features are {known}", field=place)
        values[i], out_of_bounds = feature_value(spec, i, value, place=f"context.{name[:40]}")
        if out_of_bounds:
            clamped.append(name)
    masks = _masks(spec, request.eligible) if request.eligible else {}
    own = _own_choices(spec, request.own_choice, masks) if request.own_choice else {}
    return ReadContext(values, tuple(clamped), masks, own)


def _masks(spec: LoopSpec, eligible: Mapping[str, list[str]]) -> dict[str, int]:
    """Return a mask with one bit for each allowed action, for heads that are restricted.

    Raises: InputError for unknown names, and when the reference is not allowed.
    """
    masks = {}
    for name, actions in eligible.items():
        head = _head_with(spec, "eligible", name, actions)
        if head.reference not in actions:
            raise InputError(
                f"eligible.{name} must contain {head.reference!r}, the safe action", field=f"eligible.{name}"
            )
        mask = sum(1 << head.actions.index(a) for a in set(actions))
        if mask != (1 << len(head.actions)) - 1:
            masks[name] = mask
    return masks


def _own_choices(spec: LoopSpec, chosen: Mapping[str, str], masks: Mapping[str, int]) -> dict[str, int]:
    """Return the index of the app's own choice for each head that it names.

    Raises: InputError for unknown names, and for an action that ``eligible`` of the same request does not allow.
    """
    own = {}
    for name, action in chosen.items():
        own[name] = _head_with(spec, "ownChoice", name, [action]).actions.index(action)
        if name in masks and not masks[name] >> own[name] & 1:
            raise InputError(
                f"ownChoice.{name} is {action!r}, which eligible.{name} does not allow; choose one of those that it names",
                field=f"ownChoice.{name}",
            )
    return own


def _head_with(spec: LoopSpec, field: str, name: str, actions: Sequence[str]) -> Head:
    """Return the head that a field of the request names. Raises InputError for an unknown head or an unknown action."""
    place = f"{field}.{name[:40]}"
    if name not in spec.head_names:
        raise InputError(
            f"{place} is not a head of loop {spec.name!r}; its heads are {', '.join(spec.head_names)}", field=place
        )
    head = spec.head(name)
    if unknown := [action for action in actions if action not in head.actions]:
        raise InputError(
            f"{place} names {unknown[0][:40]!r}; the actions of {name} are {', '.join(head.actions)}", field=place
        )
    return head
