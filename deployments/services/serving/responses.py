"""What a decision looks like to the app, in JSON: built from what is stored or about to be, so a retry gets the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from deployments.engine.arbiter import HeadChoice
from loops.engine.spec import LoopSpec
from loops.models import LoopVersion
from privacy.models import Unavailable

_encoder = msgspec.json.Encoder()


class AnswerFacts(NamedTuple):
    """The stored facts of an answer beside its choices. ``unavailable`` empty: the person may be spoken to."""

    public_id: UUID
    unavailable: str
    expires_at: datetime
    closes_at: datetime


class Ranked(msgspec.Struct, gc=False):
    action: str
    value: float


class HeadAnswer(msgspec.Struct, rename="camel", gc=False):
    """What one head chose; ``ranking``: the eligible actions by value, best first, the margin of the reference included.

    Somebody who may not be spoken to gets the safe action and nothing else of this: nothing was drawn.
    """

    action: str
    propensity: float | UnsetType = UNSET
    marginal_propensity: float | UnsetType = UNSET
    explored: bool | UnsetType = UNSET
    fallback: str | UnsetType | None = UNSET
    ranking: list[Ranked] | UnsetType = UNSET


class DecisionAnswer(msgspec.Struct, rename="camel", gc=False):
    """The whole answer. Times are UTC. ``missing``: what would have to be known, where the reason is that it is not."""

    decision_id: UUID
    request_id: str
    loop: str
    loop_version: int
    available: bool
    reason: str | None
    missing: Sequence[str]
    actions: dict[str, HeadAnswer]
    versions: dict[str, int]
    generations: dict[str, int]
    clamped: Sequence[str]
    expires_at: datetime
    closes_at: datetime


def decision_answer(
    version: LoopVersion, request_id: str, answered: AnswerFacts, state: Sequence[float], clamped: Sequence[str],
    picks: Sequence[HeadChoice],
) -> bytes:  # fmt: skip
    """The JSON answer about somebody in ``state`` (F numbers, NaN where nothing is known). Somebody who is unavailable gets
    policy's reference action, without a propensity: nothing was drawn.
    """
    spec, actions = version.spec, dict[str, HeadAnswer]()
    versions, generations = dict[str, int](), dict[str, int]()
    for pick in picks:
        head, server = pick.head, pick.server
        actions[head], versions[head], generations[head] = _action(pick), server.version, server.generation
    if answered.unavailable:
        actions = {spec.main_head.name: HeadAnswer(spec.main_head.reference)}
    return _encoder.encode(
        DecisionAnswer(
            decision_id=answered.public_id,
            request_id=request_id,
            loop=spec.name,
            loop_version=version.version,
            available=not answered.unavailable,
            reason=answered.unavailable or None,
            missing=_unknown(spec, state) if answered.unavailable == Unavailable.NO_DATA else (),
            actions=actions,
            versions=versions,
            generations=generations,
            clamped=clamped,
            expires_at=answered.expires_at,
            closes_at=answered.closes_at,
        )
    )


def _unknown(spec: LoopSpec, state: Sequence[float]) -> list[str]:
    return [name for name, value in zip(spec.feature_names, state, strict=True) if value != value]


def _action(pick: HeadChoice) -> HeadAnswer:
    server, values, mask = pick.server, pick.values, pick.eligible
    names = server.actions
    order: Sequence[int] = sorted(range(len(names)), key=values.__getitem__, reverse=True)
    if mask is not None:
        order = [k for k in order if mask >> k & 1]
    ranking = [Ranked(names[k], values[k]) for k in order]
    return HeadAnswer(
        names[pick.action], pick.propensity, pick.marginal, pick.explored, server.fallback or None, ranking
    )
