"""Serving a decision (Optima): availability, state, arbiter, one committed write; a retry gets the same answer again."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from django.conf import settings

from deployments.engine.arbiter import Pick, Server, arbitrate
from deployments.services.answers import Answered, answer
from deployments.services.served_policies import Serving, policy_of, servers_for, serving_of
from loops.engine.availability import Moment, unavailable
from loops.engine.spec import LoopSpec
from loops.engine.timeline import Timeline
from loops.engine.values import feature_value
from privacy.engine.layout import MAIN_HEAD
from privacy.models import Choice, Purpose, ServedDecision
from privacy.services.callers import Caller, unknown_person
from privacy.services.people import person_key
from privacy.services.serving import Chosen, Decided, Known, LostRace, decision_write, known_by_id, known_by_key
from r3al_project.common.errors import Conflict, Forbidden, InputError, NotFound

Floats = npt.NDArray[np.float64]
EXPIRES = timedelta(minutes=15)  # an answer older than this speaks of a state that is gone
_TRIES = 20
_COMPUTED = ("since_intervention", "recent_load", "clock")


class Request(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What an app asks. ``context``: the state as far as the app knows it; ``eligible``: the actions allowed now, by head."""

    request_id: str
    loop: str = "r3al"
    user_id: str | None = None
    context: dict[str, float | str] = {}
    local_time: datetime | None = None
    eligible: dict[str, list[str]] = {}


@dataclass(frozen=True)
class Context:
    """A request read against a loop: known values (F,), NaN where it says nothing; names of the clamped; masks by head."""

    values: Floats
    clamped: tuple[str, ...]
    eligible: Mapping[str, int]


def decide(caller: Caller, request: Request) -> bytes:
    """Answer a request, idempotent by its id. Raises R3alError with what to do; nothing is written then."""
    serving = serving_of(request.loop)
    context = read_context(serving.spec, request)
    now = datetime.now(UTC)
    for _ in range(_TRIES):
        known = _known(caller, request, serving)
        if known.original is not None:
            return _again(serving, request, known, context)
        if not known.consent_mask & Purpose.PERSONALIZATION.bit:
            raise Forbidden("the person has not consented to personalization, so nothing may be decided for them")
        try:
            return _decide(serving, request, known, context, now)
        except LostRace:
            continue
    raise Conflict("the person's state kept changing meanwhile; send the request again")


def _known(caller: Caller, request: Request, serving: Serving) -> Known:
    """The person's row, by token or by the identifier that a service gave."""
    key, loop_id = _keyed("request", request.request_id), serving.loop_version.loop_id
    population = serving.spec.population
    if request.user_id is None or not caller.may_serve:
        known = _own(caller, request, population, loop_id, key)
    else:
        person = person_key(population=population, identifier=request.user_id)
        known = known_by_key(population=population, key=person, loop_id=loop_id, request_key=key)
    if known is None or known.population != population:
        raise NotFound(unknown_person(caller))
    return known


def _own(caller: Caller, request: Request, population: str, loop_id: int, key: bytes) -> Known | None:
    if caller.person_id is None:
        raise Forbidden("this token is no person's and may not act for people; use a person's or a service's")
    known = known_by_id(person_id=caller.person_id, loop_id=loop_id, request_key=key)
    named = request.user_id
    if named is not None and known and person_key(population=population, identifier=named) != known.person_key:
        raise Forbidden("this token may only be used for its own person; leave userId out")
    return known


def read_context(spec: LoopSpec, request: Request) -> Context:
    """Check a request against the loop. Raises InputError that names what is unknown; numbers out of bounds are clamped."""
    if not 0 < len(request.request_id) <= 100:
        raise InputError("requestId has 1 to 100 characters")
    if request.local_time is not None and request.local_time.tzinfo is None:
        raise InputError("localTime needs an offset from UTC, like 2025-06-01T08:30:00+02:00")
    values, clamped = np.full(len(spec.features), np.nan), []
    names = spec.feature_names
    for name, value in request.context.items():
        if name not in names:
            raise InputError(f"context.{name} is no feature of loop {spec.name!r}; it has {', '.join(names)}")
        i = names.index(name)
        values[i], out = feature_value(spec, i, value)
        if out:
            clamped.append(name)
    return Context(values, tuple(clamped), _masks(spec, request.eligible))


def _masks(spec: LoopSpec, eligible: Mapping[str, list[str]]) -> dict[str, int]:
    masks = {}
    heads = [h.name for h in spec.heads]
    for name, actions in eligible.items():
        if name not in heads:
            raise InputError(f"eligible.{name} is no head of loop {spec.name!r}; it has {', '.join(heads)}")
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


def _decide(serving: Serving, request: Request, known: Known, context: Context, now: datetime) -> bytes:
    spec, local = serving.spec, request.local_time or now
    state = compose_state(spec, known, context, local, now)
    seed = _seed(known, request)
    reason = unavailable(spec, _moment(known, local), state)
    picks: list[Pick] = []
    if reason is None:
        servers = servers_for(serving, known.person_key)
        picks = arbitrate(servers, state, seed=seed, exploration=serving.exploration, eligible=context.eligible)
    answered = Answered(
        public_id=uuid.uuid4(),
        unavailable=reason or "",
        expires_at=now + EXPIRES,
        closes_at=now + timedelta(seconds=spec.reward.deadline_seconds),
    )
    decision_write(_decided(serving, request, known, context, answered, state, seed, local, now, picks))
    return answer(serving.loop_version, request.request_id, answered, context.clamped, picks)


def _moment(known: Known, local: datetime) -> Moment:
    today = known.interventions_today if known.local_day == local.date() else 0
    return Moment(local, today, known.last_intervention_at)


def compose_state(spec: LoopSpec, known: Known, context: Context, local: datetime, now: datetime) -> Floats:
    """(F,) what the app says now, over what was heard lately, over what follows from what was done before. NaN: not known."""
    state = context.values.copy()
    timeline = Timeline(spec, [i for i, f in enumerate(spec.features) if f.dynamics in _COMPUTED])
    if known.known:
        before = np.frombuffer(known.known, dtype="<f8")
        timeline.resume(before, known.last_intervened, known.local_day or local.date())
    computed = timeline.step(local.date(), intervened=False)
    columns = list(spec.features_with(*_COMPUTED))
    open_ = np.isnan(state[columns])
    state[np.array(columns, dtype=int)[open_]] = computed[open_]
    if known.memory and known.observed_at is not None:
        fresh = now - known.observed_at <= timedelta(seconds=spec.availability.memory_seconds)
        memory = np.frombuffer(known.memory, dtype="<f8")
        state = np.where(np.isnan(state) & fresh, memory, state)
    return state


def _decided(
    serving: Serving, request: Request, known: Known, context: Context, answered: Answered, state: Floats, seed: bytes,
    local: datetime, now: datetime, picks: list[Pick],
) -> Decided:  # fmt: skip
    heard = not np.isnan(context.values).all()
    before = np.frombuffer(known.memory, dtype="<f8") if known.memory else np.full(len(state), np.nan)
    memory = np.where(np.isnan(context.values), before, context.values)
    main = picks[0] if picks else None
    return Decided(
        known=known,
        loop_id=serving.loop_version.loop_id,
        loop_version_id=serving.loop_version.pk,
        now=now,
        local_day=local.date(),
        request_key=_keyed("request", request.request_id),
        public_id=answered.public_id,
        seed=seed,
        exploration_bp=serving.slots[0].exploration_bp,
        unavailable=answered.unavailable,
        clamped=len(context.clamped),
        expires_at=answered.expires_at,
        closes_at=answered.closes_at,
        state=state.astype("<f8").tobytes(),
        memory=memory.astype("<f8").tobytes(),
        observed_at=now if heard else known.observed_at,
        intervened=main is not None and main.action != main.server.policy.reference,
        choices=[_chosen(pick) for pick in picks],
    )


def _chosen(pick: Pick) -> Chosen:
    server = pick.server
    return Chosen(
        pick.head, pick.action, pick.propensity, pick.marginal, pick.explored, pick.learnable,
        server.version, server.generation, pick.eligible, server.fallback,
    )  # fmt: skip


def _again(serving: Serving, request: Request, known: Known, context: Context) -> bytes:
    """The original answer to a request that was answered before, from its rows. Raises InputError when the body is another."""
    served = ServedDecision.objects.select_related("decision__loop_version__loop").get(pk=known.original)
    if bytes(served.seed) != _seed(known, request):
        raise InputError("this requestId was used with another body; use a new requestId for a new question")
    answered = Answered(served.public_id, served.unavailable, served.expires_at, served.closes_at)
    version = served.decision.loop_version
    picks = stored_picks(served)
    return answer(version, request.request_id, answered, context.clamped, picks)


def stored_picks(served: ServedDecision) -> list[Pick]:
    """A decision's choices as they were answered; action values are computed again from the stored state."""
    version = served.decision.loop_version
    state = np.frombuffer(served.decision.state, dtype="<f8").tolist()
    found = {c.head: c for c in served.decision.choices.all()}
    heads = sorted((h.name for h in version.spec.heads if h.name in found), key=lambda h: h != MAIN_HEAD)
    return [_stored_pick(version, found[h], state) for h in heads]


def _stored_pick(version: Any, choice: Choice, state: list[float]) -> Pick:
    server = stored_server(version, choice)
    values = (server.policy.weights @ server.policy.phi.phi_of(state)).tolist()
    values[server.policy.reference] += server.policy.margin
    return Pick(
        choice.head, choice.action, choice.explored, choice.propensity, choice.marginal_propensity, choice.learnable,
        tuple(values), choice.eligible, server,
    )  # fmt: skip


def stored_server(version: Any, choice: Choice) -> Server:
    """Who answered a stored choice."""
    from loops.engine.policy import reference_policy

    head = version.spec.head(choice.head)
    policy = None if choice.fallback == "reference" else policy_of(choice.version or 0, version)
    policy = policy or reference_policy(version.spec, choice.head)
    return Server(
        choice.head,
        head.logging,
        head.when == "always",
        policy,
        choice.version or 0,
        choice.generation or 0,
        choice.fallback,
    )


def _seed(known: Known, request: Request) -> bytes:
    """16 bytes that depend on the person, the request and its whole body, and on a secret: what every draw follows from."""
    return _keyed("seed", f"{known.person_key}\0{msgspec.json.encode(request, order='sorted').decode()}")


def _keyed(context: str, text: str) -> bytes:
    key = _KEYS.get(context) or _KEYS.setdefault(
        context, hmac.digest(settings.ANONYMIZATION_SALT.encode(), f"serving {context}".encode(), "sha256")
    )
    return hmac.digest(key, text.encode(), "sha256")[:16]


_KEYS: dict[str, bytes] = {}
