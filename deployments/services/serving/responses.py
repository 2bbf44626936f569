"""Render the JSON answer of a decision from its stored values only, so that a retry gets the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, NamedTuple, Protocol
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from loops.engine.spec import LoopSpec
from loops.models import LoopVersion
from privacy.engine.head_choice import OWN_CHOICE, HeadChoice
from privacy.models import Unavailable

_encoder = msgspec.json.Encoder()
_TIME = Meta(extra_json_schema={"format": "date-time"})
_REASONS = Meta(extra_json_schema={"enum": list(Unavailable.values)})
_FALLBACKS = Meta(extra_json_schema={"enum": ["stable", "reference"]})
_CHOOSERS = Meta(extra_json_schema={"enum": [OWN_CHOICE]})


class RenderedAnswer(NamedTuple):
    """Hold an answer in JSON, with the loop and the policy version under which its latency is counted."""

    body: bytes
    loop_id: int
    version_id: int


class Answerable(Protocol):
    """Define the decision fields that an answer shows. ``unavailable``: the reason, or empty if the person is available."""

    @property
    def public_id(self) -> UUID: ...
    @property
    def unavailable(self) -> str: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def closes_at(self) -> datetime: ...


class Ranked(msgspec.Struct, gc=False):
    """An action with its value."""

    action: str
    value: float


class HeadAnswer(msgspec.Struct, rename="camel", gc=False):
    """One head's choice. ``ranking``: eligible actions by value, best first, with the reference's margin included.

    For an unavailable person only ``action`` is set, to the reference, because nothing was drawn. ``chosen_by`` is "app" for the
    app's own choice. No version chose it, so it has neither a propensity nor a ranking.
    """

    action: str
    propensity: float | UnsetType = UNSET
    marginal_propensity: float | UnsetType = UNSET
    explored: bool | UnsetType = UNSET
    fallback: Annotated[str, _FALLBACKS] | UnsetType | None = UNSET
    ranking: list[Ranked] | UnsetType = UNSET
    chosen_by: Annotated[str, _CHOOSERS] | UnsetType = UNSET


class DecisionAnswer(msgspec.Struct, rename="camel", gc=False):
    """The whole answer. Times are UTC. ``missing``: the missing features, if they are the reason.

    ``expires_at``: show the action until then, and afterwards ask again. ``closes_at``: rewards count until then.
    """

    decision_id: UUID
    request_id: str
    loop: str
    loop_version: int
    available: bool
    reason: Annotated[str, _REASONS] | None
    missing: Sequence[str]
    actions: dict[str, HeadAnswer]
    versions: dict[str, int]
    generations: dict[str, int]
    clamped: Sequence[str]
    expires_at: Annotated[datetime, _TIME]
    closes_at: Annotated[datetime, _TIME]


def render_answer(
    version: LoopVersion, request_id: str, decision: Answerable, state: Sequence[float], clamped: Sequence[str],
    choices: Sequence[HeadChoice], *, stable: int,
) -> RenderedAnswer:  # fmt: skip
    """Render the answer about a person.

    An unavailable person gets the policy head's reference action without a propensity, because nothing was drawn.

    Args:
        state: F numbers, NaN where nothing is known.
        clamped: names of the clamped features.
        choices: the heads' choices, the policy head first.
        stable: the policy head's stable version. An answer that no version of that head made is counted under it.
    """
    spec, actions = version.spec, {choice.head: _action(choice) for choice in choices}
    if decision.unavailable:
        actions = {spec.main_head.name: HeadAnswer(spec.main_head.reference)}
    answer = DecisionAnswer(
        decision_id=decision.public_id,
        request_id=request_id,
        loop=spec.name,
        loop_version=version.version,
        available=not decision.unavailable,
        reason=decision.unavailable or None,
        missing=_unknown(spec, state) if decision.unavailable == Unavailable.NO_DATA else (),
        actions=actions,
        versions={choice.head: choice.version for choice in choices if choice.version is not None},
        generations={choice.head: choice.generation for choice in choices},
        clamped=clamped,
        expires_at=decision.expires_at,
        closes_at=decision.closes_at,
    )
    by = choices[0].version if choices else None
    return RenderedAnswer(_encoder.encode(answer), version.loop_id, stable if by is None else by)


def _unknown(spec: LoopSpec, state: Sequence[float]) -> list[str]:
    return [name for name, value in zip(spec.feature_names, state, strict=True) if value != value]


def _action(choice: HeadChoice) -> HeadAnswer:
    names, values, mask = choice.actions, choice.values, choice.eligible
    if choice.propensity is None or choice.marginal_propensity is None:
        return HeadAnswer(names[choice.action], chosen_by=OWN_CHOICE)
    order: Sequence[int] = sorted(range(len(names)), key=values.__getitem__, reverse=True)
    if mask is not None:
        order = [k for k in order if mask >> k & 1]
    return HeadAnswer(
        names[choice.action], choice.propensity, choice.marginal_propensity, choice.explored, choice.fallback or None,
        [Ranked(names[k], values[k]) for k in order],
    )  # fmt: skip
