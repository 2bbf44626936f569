"""What comes back from the app: signals, activations, rewards. Plain views, as frequent as decisions are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from core.durations import DAY, HOUR
from core.errors import InputError, R3alError
from core.problems import problem, problem_of
from loops.engine.reward import BOUNDS, COMPONENTS, DEFAULT_WEIGHTS, reward_components, reward_total
from loops.selectors import DEFAULT_LOOP, loop_version_current
from privacy.services.people.authentication import Caller, caller_of, person_of, token_read
from privacy.services.records.rewards import RewardInput, decision_activate, reward_add
from privacy.services.records.signals import SignalInput, signals_add

LARGEST_BODY = 256 * 1024
LONGEST_DELAY = 366.0 * DAY  # seconds
_T = TypeVar("_T")


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
    """What was observed, in the blueprint's words. Sentiment in [-1, 1]; engagement and rating in [0, 1]."""

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
    """The blueprint's calculateReward. ``actionTiming``: hours between the decision and the moment it reached the person."""

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
    """A signal that was left out: its place in the batch, its id, and why."""

    index: int
    id: str
    reason: str


class SignalsAnswer(msgspec.Struct):
    """What became of a batch; ``clamped``: values that were moved to the bounds of their features."""

    added: int
    unchanged: int
    clamped: int
    rejected: list[Rejected]


class ActivateAnswer(msgspec.Struct, rename="camel"):
    """When the decision was first shown."""

    decision_id: UUID
    activated_at: datetime


class RewardAnswer(msgspec.Struct, rename="camel"):
    """``late``: it came after the deadline, is kept apart and never learned from."""

    reward_id: str
    late: bool


class Weighed(msgspec.Struct):
    """A component of a reward; ``value`` null: nothing was said that it follows from."""

    value: float | None
    weight: float
    bounds: tuple[float, float]


class CalculateAnswer(msgspec.Struct):
    """A reward that was computed and not stored; ``total`` null: no component is known."""

    total: float | None
    components: dict[str, Weighed]
    loop: str


_SENT = {f.name: f.encode_name for f in msgspec.structs.fields(RewardInputs)} | {"delay": "the delay in seconds"}


def _view(body: type[_T]) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """A POST with a token and a JSON body of one type; whatever does not fit becomes a problem document."""
    decoder = msgspec.json.Decoder(body)

    def wrap(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        def answer(request: HttpRequest, **names: Any) -> HttpResponse:
            if request.method != "POST":
                return problem(405, "this is done with POST")
            try:
                caller = caller_of(token_read(request.headers.get("Authorization", "")))
                if int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST_BODY:
                    return problem(413, f"the body is larger than {LARGEST_BODY} bytes; send smaller batches")
                return view(caller, decoder.decode(request.body or b"{}"), **names)
            except msgspec.ValidationError as error:
                return problem(422, f"the body does not fit: {error}")
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                return problem(400, f"the body is not JSON: {error}")
            except R3alError as error:
                return problem_of(error)

        return csrf_exempt(answer)

    return wrap


def _json(answer: msgspec.Struct, *, status: int = 200) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(answer), status=status, content_type="application/json")


@_view(SignalsBody)
def signals(caller: Caller, body: SignalsBody) -> HttpResponse:
    """Keep what the app heard."""
    version = loop_version_current(body.loop)
    person_id = person_of(caller, user_id_given=body.user_id, population=version.spec.population)
    heard = [SignalInput(s.id, s.kind, s.at, s.values) for s in body.signals]
    intake = signals_add(loop_version=version, person_id=person_id, signals=heard)
    rejected = [Rejected(**one) for one in intake.rejected]
    return _json(SignalsAnswer(intake.added, intake.unchanged, intake.clamped, rejected))


@_view(ActivateBody)
def activate(caller: Caller, body: ActivateBody, decision: UUID) -> HttpResponse:
    """The device showed it."""
    if body.at is not None and body.at.tzinfo is None:
        raise InputError("at needs an offset from UTC")
    served = decision_activate(caller=caller, public_id=decision, user_id=body.user_id, at=body.at)
    assert served.activated_at is not None
    return _json(ActivateAnswer(served.public_id, served.activated_at))


@_view(RewardBody)
def rewards(caller: Caller, body: RewardBody, decision: UUID) -> HttpResponse:
    """What followed. 201 when new, 200 when known, 202 when it came after the deadline and will not be learned."""
    inputs = None if body.inputs is None else _observed(body.inputs)
    word = RewardInput(body.reward_id, body.total, body.components, inputs, body.label)
    kept = reward_add(caller=caller, public_id=decision, user_id=body.user_id, reward=word)
    status = 202 if kept.late else 201 if kept.new else 200
    return _json(RewardAnswer(body.reward_id, kept.late), status=status)


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
    _in_range(given)
    return {name: float(value) for name, value in given.items() if value is not None}


def _in_range(given: dict[str, float | bool | None]) -> None:
    for name, value in given.items():
        low, high = (-1.0, 1.0) if name.startswith("sentiment") else (0.0, LONGEST_DELAY if name == "delay" else 1.0)
        if value is not None and not low <= value <= high:
            raise InputError(f"{_SENT.get(name, name)} is {value:g}; it lies within {low:g} and {high:g}")


@_view(CalculateBody)
def calculate(caller: Caller, body: CalculateBody) -> HttpResponse:
    """The reward model as a calculator: the total and every component with its weight and bounds. Stores nothing."""
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
