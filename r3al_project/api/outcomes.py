"""Record signals, activations and rewards that an app reports. Plain views, because they are as frequent as decisions."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from uuid import UUID

import msgspec
from django.http import HttpResponse

from core.durations import DAY, HOUR
from core.errors import InputError
from loops.engine.reward import BOUNDS, COMPONENTS, DEFAULT_WEIGHTS, reward_components, reward_total
from loops.selectors import DEFAULT_LOOP, loop_version_current
from privacy.services.people.authentication import Token, caller_of, person_of
from privacy.services.records.rewards import RewardInput, decision_activate, reward_add
from privacy.services.records.signals import SignalInput, signals_add
from r3al_project.api.http.plain_view import plain_view

LARGEST_BODY = 256 * 1024
LONGEST_DELAY = 366.0 * DAY  # seconds
_view = partial(plain_view, largest=LARGEST_BODY, advice="send smaller batches", may_be_empty=True)


class SignalBody(msgspec.Struct, rename={"kind": "type"}, forbid_unknown_fields=True):
    id: str
    kind: str
    at: datetime
    values: dict[str, float | str]


class SignalsBody(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    signals: list[SignalBody]
    loop: str = DEFAULT_LOOP
    user_id: str | None = None


class ActivateBody(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    at: datetime | None = None
    user_id: str | None = None


class RewardInputs(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Observations that a reward is computed from. Sentiment lies in [-1, 1], engagement and rating in [0, 1]."""

    sentiment_before: float | None = None
    sentiment_after: float | None = None
    engagement_before: float | None = None
    engagement_after: float | None = None
    rating: float | None = None
    delay_seconds: float | None = None
    consent_given: bool | None = None
    privacy_respected: bool | None = None


class RewardBody(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    reward_id: str
    total: float | None = None
    components: dict[str, float] | None = None
    inputs: RewardInputs | None = None
    label: str | None = None
    user_id: str | None = None


class CalculateBody(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Inputs of one reward calculation. ``actionTiming`` counts the hours from the decision until the person saw it."""

    sentiment_before: float | None = None
    sentiment_after: float | None = None
    engagement_before: float | None = None
    engagement_after: float | None = None
    action_type: str = ""
    action_timing: float | None = None
    consent_given: bool | None = None
    privacy_respected: bool | None = None
    rating: float | None = None
    affect: dict[str, float] = {}
    loop: str = DEFAULT_LOOP


class Rejected(msgspec.Struct):
    """A signal that was rejected, with its index in the batch, its id and the reason."""

    index: int
    id: str
    reason: str


class SignalsAnswer(msgspec.Struct):
    """Counts of a batch. ``clamped`` counts the values that were moved to the bounds of their features."""

    added: int
    unchanged: int
    clamped: int
    rejected: list[Rejected]


class ActivateAnswer(msgspec.Struct, rename="camel"):
    """The time at which the decision was first shown."""

    decision_id: UUID
    activated_at: datetime


class RewardAnswer(msgspec.Struct, rename="camel"):
    """A recorded reward. A ``late`` one arrived after the deadline: it is kept apart and no policy learns from it."""

    reward_id: str
    late: bool


class Weighed(msgspec.Struct):
    """One component of a reward. Its ``value`` is null when no given input determines it."""

    value: float | None
    weight: float
    bounds: tuple[float, float]


class CalculateAnswer(msgspec.Struct):
    """A reward that was computed and not stored. Its ``total`` is null when no component is known."""

    total: float | None
    components: dict[str, Weighed]
    loop: str


_FIELD_NAMES = {f.name: f.encode_name for f in msgspec.structs.fields(RewardInputs)} | {"delay": "the delay in seconds"}


def _json(answer: msgspec.Struct, *, status: int = 200) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(answer), status=status, content_type="application/json")


@_view(SignalsBody)
def signals(token: Token, body: SignalsBody) -> HttpResponse:
    """Store a batch of signals about one person. Each is kept once by its id."""
    caller = caller_of(token)
    version = loop_version_current(body.loop)
    person_id = person_of(caller, user_id_given=body.user_id, population=version.spec.population)
    given = [SignalInput(s.id, s.kind, s.at, s.values) for s in body.signals]
    intake = signals_add(loop_version=version, person_id=person_id, signals=given)
    rejected = [Rejected(**one) for one in intake.rejected]
    return _json(SignalsAnswer(intake.added, intake.unchanged, intake.clamped, rejected))


@_view(ActivateBody)
def activate(token: Token, body: ActivateBody, decision: UUID) -> HttpResponse:
    """Record that the device showed a decision. The first time counts."""
    caller = caller_of(token)
    if body.at is not None and body.at.tzinfo is None:
        raise InputError("at has no offset from UTC; send it like 2026-01-31T08:00:00+01:00")
    served = decision_activate(caller=caller, public_id=decision, user_id=body.user_id, at=body.at)
    assert served.activated_at is not None
    return _json(ActivateAnswer(served.public_id, served.activated_at))


@_view(RewardBody)
def rewards(token: Token, body: RewardBody, decision: UUID) -> HttpResponse:
    """Record the reward of a decision.

    Returns 201 for a new reward, 200 for a known one, and 202 for one after the deadline, from which no policy learns.
    """
    caller = caller_of(token)
    inputs = None if body.inputs is None else _observed(body.inputs)
    reward = RewardInput(body.reward_id, body.total, body.components, inputs, body.label)
    receipt = reward_add(caller=caller, public_id=decision, user_id=body.user_id, reward=reward)
    status = 202 if receipt.late else 201 if receipt.new else 200
    return _json(RewardAnswer(body.reward_id, receipt.late), status=status)


def _observed(inputs: RewardInputs) -> dict[str, float]:
    given = {
        "sentiment_before": inputs.sentiment_before,
        "sentiment_after": inputs.sentiment_after,
        "engagement_before": inputs.engagement_before,
        "engagement_after": inputs.engagement_after,
        "rating": inputs.rating,
        "delay": inputs.delay_seconds,
        "consent": inputs.consent_given,
        "privacy": inputs.privacy_respected,
    }
    _check_range(given)
    return {name: float(value) for name, value in given.items() if value is not None}


def _check_range(given: dict[str, float | bool | None]) -> None:
    """Raise InputError for a value outside its bounds."""
    for name, value in given.items():
        low, high = (-1.0, 1.0) if name.startswith("sentiment") else (0.0, LONGEST_DELAY if name == "delay" else 1.0)
        if value is not None and not low <= value <= high:
            raise InputError(f"{_FIELD_NAMES.get(name, name)} is {value:g}; it must lie between {low:g} and {high:g}")


@_view(CalculateBody)
def calculate(token: Token, body: CalculateBody) -> HttpResponse:
    """Compute a reward: the total, and each component with its weight and bounds. Store nothing."""
    caller_of(token)
    spec = loop_version_current(body.loop).spec
    timing = None if body.action_timing is None else body.action_timing * HOUR
    observed = _observed(
        RewardInputs(
            body.sentiment_before, body.sentiment_after, body.engagement_before, body.engagement_after, body.rating,
            timing, body.consent_given, body.privacy_respected,
        )
    )  # fmt: skip
    components = reward_components(spec, observed, action=body.action_type, affect=body.affect)
    weights = {c: spec.reward.weights.get(c, DEFAULT_WEIGHTS[c]) for c in COMPONENTS}
    weighed = {
        c: Weighed(None if value != value else value, weights[c], BOUNDS[c])
        for c, value in zip(COMPONENTS, components.tolist(), strict=True)
    }
    total = float(reward_total(spec, components))
    return _json(CalculateAnswer(None if total != total else total, weighed, spec.name))
