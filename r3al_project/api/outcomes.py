"""Record signals, activations and rewards that an app reports. Plain views, because they are as frequent as decisions."""

from __future__ import annotations

from functools import partial
from uuid import UUID

import msgspec
from django.http import HttpResponse
from msgspec import UNSET

from core.durations import HOUR
from core.errors import InputError
from loops.engine.reward import BOUNDS, COMPONENTS, DEFAULT_WEIGHTS, reward_components, reward_total
from loops.engine.spec import LoopSpec
from loops.selectors import loop_version_current
from privacy.engine.data_types import DATA_TYPES
from privacy.services.people.authentication import Token, caller_of, person_of
from privacy.services.records.rewards import (
    RewardInput,
    decision_activate,
    reward_add,
)
from privacy.services.records.signals import (
    LONGEST_SIGNAL_ID,
    SignalInput,
    UnreadableSignal,
    batch_check,
    signals_add,
)
from r3al_project.api.answers.outcomes import (
    LONGEST_DELAY,
    ActivateAnswer,
    ActivateBody,
    CalculateAnswer,
    CalculateBody,
    Observations,
    Rejected,
    RewardAnswer,
    RewardBody,
    RewardComponents,
    RewardInputs,
    SignalBody,
    SignalsAnswer,
    SignalsEnvelope,
    Weighed,
    WeighedComponents,
)
from r3al_project.api.http.misfits import EntryReader
from r3al_project.api.http.plain_view import plain_view

LARGEST_BODY = 256 * 1024
_view = partial(plain_view, largest=LARGEST_BODY, advice="send smaller batches", may_be_empty=True)


def _json(answer: msgspec.Struct, *, status: int = 200) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(answer), status=status, content_type="application/json")


_SIGNALS = EntryReader(
    SignalBody,
    {
        "id": f"send a text of 1 to {LONGEST_SIGNAL_ID} characters",
        "type": f"send one of {', '.join(DATA_TYPES)}",
        "at": "send a time with its offset from UTC, like 2026-01-31T08:00:00+01:00",
        "values": 'send an object of features, like {"mood": 0.1}',
        "values.": "send a number or the name of a category, or leave out what is not known",
        "": "send an object with id, type, at and values, each once",
    },
)


class _Named(msgspec.Struct):
    id: str = ""


@_view(SignalsEnvelope, entries_apart=True)
def signals(token: Token, body: SignalsEnvelope) -> HttpResponse:
    """Store a batch of signals about one person. Each is judged on its own, and kept once by its id."""
    caller = caller_of(token)
    version = loop_version_current(body.loop)
    person_id = person_of(caller, user_id_given=body.user_id, population=version.spec.population)
    batch_check(len(body.signals))
    given = [_signal(raw) for raw in body.signals]
    intake = signals_add(loop_version=version, person_id=person_id, signals=given)
    rejected = [Rejected(**one) for one in intake.rejected]
    return _json(SignalsAnswer(intake.added, intake.unchanged, intake.clamped, intake.ahead, rejected))


def _signal(raw: msgspec.Raw) -> SignalInput | UnreadableSignal:
    read = _SIGNALS.read(raw)
    if isinstance(read, SignalBody):
        return SignalInput(read.id, read.kind, read.at, read.values)
    try:
        name = msgspec.json.decode(raw, type=_Named).id
    except msgspec.DecodeError:
        name = ""
    return UnreadableSignal(name, read.field, read.sentence)


@_view(ActivateBody)
def activate(token: Token, body: ActivateBody, decision: UUID) -> HttpResponse:
    """Record that the device showed a decision, even if it had expired. The first time counts."""
    caller = caller_of(token)
    if body.at is not None and body.at.tzinfo is None:
        raise InputError("at has no offset from UTC; send it like 2026-01-31T08:00:00+01:00", field="at")
    served = decision_activate(caller=caller, public_id=decision, user_id=body.user_id, at=body.at)
    assert served.activated_at is not None
    return _json(ActivateAnswer(served.public_id, served.activated_at, served.activated_at > served.expires_at))


@_view(RewardBody)
def rewards(token: Token, body: RewardBody, decision: UUID) -> HttpResponse:
    """Record the reward of a decision.

    Returns 201 for a new reward, 200 for a known one, and 202 for one after the deadline, from which no policy learns.
    """
    caller = caller_of(token)
    inputs = None if body.inputs is None else _inputs(body.inputs)
    components = None if body.components is None else _given(body.components)
    reward = RewardInput(body.reward_id, body.total, components, inputs, body.label)
    receipt = reward_add(caller=caller, public_id=decision, user_id=body.user_id, reward=reward)
    status = 202 if receipt.late else 201 if receipt.new else 200
    return _json(RewardAnswer(body.reward_id, receipt.late, list(receipt.clamped)), status=status)


def _given(components: RewardComponents) -> dict[str, float]:
    given = {name: value for name, value in msgspec.structs.asdict(components).items() if value is not UNSET}
    return _filled("components", given, RewardComponents)


def _inputs(given: RewardInputs) -> dict[str, float]:
    _check_within("inputs.delaySeconds", given.delay_seconds, 0.0, LONGEST_DELAY)
    return _filled("inputs", _observed(given, delay=given.delay_seconds, place="inputs."), RewardInputs)


def _filled(field: str, given: dict[str, float], kind: type[msgspec.Struct]) -> dict[str, float]:
    """Return what was given. Raises InputError that names the fields of ``kind`` if that is nothing."""
    if not given:
        known = ", ".join(f.encode_name for f in msgspec.structs.fields(kind))
        raise InputError(f"{field} is empty; leave it out, or give at least one of {known}", field=field)
    return given


def _observed(given: Observations, *, delay: float | None, place: str = "") -> dict[str, float]:
    """Return the observations that were given, by the names of the reward's inputs. Raises InputError for one out of bounds.

    Args: delay: seconds. place: path of the observations in the body, for errors.
    """
    for field in msgspec.structs.fields(Observations):
        low = -1.0 if field.name.startswith("sentiment") else 0.0
        _check_within(place + field.encode_name, getattr(given, field.name), low, 1.0)
    values = {
        "sentiment_before": given.sentiment_before,
        "sentiment_after": given.sentiment_after,
        "engagement_before": given.engagement_before,
        "engagement_after": given.engagement_after,
        "rating": given.rating,
        "delay": delay,
        "consent": given.consent_given,
        "privacy": given.privacy_respected,
    }
    return {name: float(value) for name, value in values.items() if value is not None}


def _check_within(field: str, value: float | None, low: float, high: float) -> None:
    """Raise InputError for a value outside its bounds."""
    if value is not None and not low <= value <= high:
        raise InputError(f"{field} is {value:g}; it must lie between {low:g} and {high:g}", field=field)


@_view(CalculateBody)
def calculate(token: Token, body: CalculateBody) -> HttpResponse:
    """Compute a reward: the total, and each component with its weight and bounds. Store nothing."""
    caller_of(token)
    spec = loop_version_current(body.loop).spec
    _check_within("actionTiming", body.action_timing, 0.0, LONGEST_DELAY / HOUR)
    observed = _observed(body, delay=None if body.action_timing is None else body.action_timing * HOUR)
    notes = _notes(spec, body)
    components = reward_components(spec, observed, action=body.action_type, affect=body.affect, timing=body.timing)
    weights = {c: spec.reward.weights.get(c, DEFAULT_WEIGHTS[c]) for c in COMPONENTS}
    weighed = {
        c: Weighed(None if value != value else value, weights[c], BOUNDS[c])
        for c, value in zip(COMPONENTS, components.tolist(), strict=True)
    }
    total = float(reward_total(spec, components))
    return _json(CalculateAnswer(None if total != total else total, WeighedComponents(**weighed), spec.name, notes))


def _notes(spec: LoopSpec, body: CalculateBody) -> list[str]:
    """Return one sentence for each input that does not count. Raises InputError for a name or a value that the loop lacks.

    An unknown ``actionType`` is no error, because the blueprint's own example names none of a loop's actions.
    """
    _check_affect(spec, body.affect)
    head, notes = spec.timing_head, []
    if body.timing is not None and body.timing not in head.actions:
        raise InputError(
            f"timing is {body.timing[:40]!r}; the actions of head {head.name} are {', '.join(head.actions)}",
            field="timing",
        )
    if body.action_type and body.action_type not in spec.main_head.actions:
        known = ", ".join(spec.main_head.actions)
        notes.append(
            f"actionType {body.action_type!r} is no action of loop {spec.name!r} and does not count; there are {known}"
        )
    if body.action_timing is not None and body.timing is None and head.name != spec.main_head.name:
        notes.append(f"timing was not given, so the best delay is 0; it is one of {', '.join(head.actions)}")
    return notes


def _check_affect(spec: LoopSpec, affect: dict[str, float]) -> None:
    known = [f.name for f in spec.features if not f.is_category]
    for name, value in affect.items():
        if name not in known:
            raise InputError(
                f"affect.{name[:40]} is not a numeric feature of loop {spec.name!r}; there are {', '.join(known)}",
                field=f"affect.{name[:40]}",
            )
        _check_within(f"affect.{name}", value, 0.0, 1.0)
