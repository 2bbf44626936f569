"""Serving a decision (Optima): availability, state, arbiter, one committed write; a retry gets the same answer again."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import msgspec

from core.digests import DECISION_ID, DECISION_REQUEST, DECISION_SEED, keyed
from core.errors import Conflict, Forbidden, InputError, NotFound
from deployments.engine.arbiter import HeadChoice, arbitrate
from deployments.services.serving.policy_cache import ServedLoop, served_loop, servers_for
from deployments.services.serving.requests import DecisionRequest, ReadContext, read_context
from deployments.services.serving.responses import AnswerFacts, decision_answer
from deployments.services.serving.stored_decisions import stored_choices
from loops.engine.availability import Moment, unavailable
from loops.engine.state.clock import plausible_day
from loops.engine.state.scalar import ScalarDynamics
from privacy.engine.sealing import Cipher, about_memory, about_state
from privacy.engine.serving_state import pack_serving_state, unpack_serving_state
from privacy.models import Purpose, ServedDecision
from privacy.selectors.keys import cipher_of, states_opened
from privacy.services.people.authentication import Caller, caller_of, caller_remembered, own_person_id, person_checked
from privacy.services.people.data_keys import ciphers
from privacy.services.people.identity import person_key
from privacy.services.records.serving_read import (
    PersonServingState,
    serving_state_by_id,
    serving_state_by_key,
    serving_state_by_token,
)
from privacy.services.records.serving_write import Chosen, DecisionToWrite, LostRace, decision_write

EXPIRES = timedelta(minutes=15)  # an answer older than this speaks of a state that is gone
_TRIES = 20
_CONTEXTS = {"request": DECISION_REQUEST, "seed": DECISION_SEED, "id": DECISION_ID}


class RenderedAnswer(NamedTuple):
    """An answer in JSON, with the loop and the version of the policy head that it is counted under."""

    body: bytes
    loop_id: int
    version_id: int


def decide(token: str, request: DecisionRequest) -> RenderedAnswer:
    """Answer a request, idempotent by its id. ``token``: the caller's, digested. Raises R3alError; nothing is written then."""
    serving, caller, known = _begin(token, request)
    now = datetime.now(UTC)
    for _ in range(_TRIES):
        known = known or _known(caller, request, serving)
        if known.original is not None and (again := _again(known, known.original, request)) is not None:
            return again
        if not known.consent_mask & Purpose.PERSONALIZATION.bit:
            raise Forbidden("the person has not consented to personalization, so nothing may be decided for them")
        if not known.wrapped:
            ciphers([known.person_id])
            known = None
            continue
        decided, told = compute_decision(serving, request, known, now)
        try:
            decision_write(decided)
        except LostRace:
            known = None
            continue
        return told
    raise Conflict("the person's state kept changing meanwhile; send the request again")


def _begin(token: str, request: DecisionRequest) -> tuple[ServedLoop, Caller, PersonServingState | None]:
    """What serves, who asks, and what is known of them when the token had to be looked up anyway."""
    caller, known = caller_remembered(token), None
    try:
        serving = served_loop(request.loop)
    except NotFound:
        caller_of(token)  # somebody unknown learns no loop's name
        raise
    if caller is None:
        key = _keyed("request", request.request_id)
        caller, own = serving_state_by_token(digest=token, loop_id=serving.loop_version.loop_id, request_key=key)
        known = own and person_checked(caller, own, user_id=request.user_id, population=serving.spec.population)
    return serving, caller, known


def compute_decision(
    serving: ServedLoop, request: DecisionRequest, known: PersonServingState, now: datetime
) -> tuple[DecisionToWrite, RenderedAnswer]:
    """The decision and its answer, from what is in memory alone: nothing is read or written. Raises InputError."""
    spec, local = serving.spec, request.local_time or now
    context = read_context(spec, serving.points, request)
    cipher = cipher_of(known.person_id, known.wrapped, known.master_version)
    heard, before = serving_state_open(serving, known, cipher, now)
    day = plausible_day(local.date(), now.date(), known.local_day)
    state = compose_state(serving, known, context, heard, before, local.time(), same_day=known.local_day == day)
    seed = _seed(known, request)
    reason = unavailable(spec, _moment(known, local, day, now), state)
    picks: list[HeadChoice] = []
    if reason is None:
        servers = servers_for(serving, known.person_key)
        picks = arbitrate(servers, state, seed=seed, exploration=serving.exploration, eligible=context.eligible)
    answered = AnswerFacts(
        public_id=uuid.UUID(
            bytes=_digest("id", seed)
        ),  # a keyed digest: nobody can guess it, and no system call is needed
        unavailable=reason or "",
        expires_at=now + EXPIRES,
        closes_at=now + timedelta(seconds=spec.reward.deadline_seconds),
    )
    body = decision_answer(serving.loop_version, request.request_id, answered, state, context.clamped, picks)
    told = RenderedAnswer(body, serving.loop_version.loop_id, picks[0].server.version if picks else serving.main.stable)
    memory = context.values if heard is None else _over(context.values, heard)
    return _decided(serving, request, known, cipher, context, answered, state, memory, seed, day, now, picks), told


def _known(caller: Caller, request: DecisionRequest, serving: ServedLoop) -> PersonServingState:
    """The person's row, by the caller's own person or by the identifier that a service gave."""
    key, loop_id = _keyed("request", request.request_id), serving.loop_version.loop_id
    population = serving.spec.population
    if (own := own_person_id(caller, request.user_id)) is not None:
        known = serving_state_by_id(person_id=own, loop_id=loop_id, request_key=key)
    else:
        person = person_key(population=population, identifier=request.user_id or "")
        known = serving_state_by_key(population=population, key=person, loop_id=loop_id, request_key=key)
    return person_checked(caller, known, user_id=request.user_id, population=population)


def _moment(known: PersonServingState, local: datetime, day: date, now: datetime) -> Moment:
    today = known.interventions_today if known.local_day == day else 0
    last = known.last_intervention_at
    return Moment(local, today, None if last is None else max(now - last, timedelta()))


def compose_state(
    serving: ServedLoop, known: PersonServingState, context: ReadContext, heard: Sequence[float] | None, before: Sequence[float] | None,
    at: time, *, same_day: bool,
) -> list[float]:  # fmt: skip
    """F numbers: what the app says now; else what follows from the person's time of day ``at`` and the last decision; else what
    was heard lately. NaN: not known.
    """
    state = list(context.values)
    serving.points.fill(state, before, intervened=known.last_intervened, same_day=same_day, at=at)
    return state if heard is None else _over(state, heard)


def serving_state_open(
    serving: ServedLoop, known: PersonServingState, cipher: Cipher, now: datetime
) -> tuple[Sequence[float] | None, Sequence[float] | None]:
    """F numbers that were heard of a person (NaN: never), while the newest is not older than the loop's ``memory``, and the F of
    their last decision's state; None for what there is not.
    """
    if not known.memory:
        return None, None
    plain = cipher.open(known.memory, about_memory(known.person_id, serving.loop_version.loop_id))
    heard, before = unpack_serving_state(serving.spec, plain)
    at, keeps = known.observed_at, serving.spec.availability.memory_seconds
    return (None if at is None or (now - at).total_seconds() > keeps else heard), before


def _over(newer: Sequence[float], older: Sequence[float]) -> list[float]:
    """Numbers, and where they are not known (NaN) the older ones."""
    return [a if a == a else b for a, b in zip(newer, older, strict=True)]


def _decided(
    serving: ServedLoop, request: DecisionRequest, known: PersonServingState, cipher: Cipher, context: ReadContext, answered: AnswerFacts,
    state: Sequence[float], memory: Sequence[float], seed: bytes, day: date, now: datetime, picks: Sequence[HeadChoice],
) -> DecisionToWrite:  # fmt: skip
    person, loop = known.person_id, serving.loop_version.loop_id
    return DecisionToWrite(
        known=known,
        loop_id=loop,
        loop_version_id=serving.loop_version.pk,
        now=now,
        local_day=day,
        request_key=_keyed("request", request.request_id),
        public_id=answered.public_id,
        seed=seed,
        exploration_bp=serving.main.exploration_bp,
        unavailable=answered.unavailable,
        clamped=len(context.clamped),
        expires_at=answered.expires_at,
        closes_at=answered.closes_at,
        state=cipher.seal(struct.pack(f"<{len(state)}d", *state), about_state(person, seed)),
        memory=cipher.seal(pack_serving_state(serving.spec, memory, state), about_memory(person, loop)),
        observed_at=now if request.context else known.observed_at,
        intervened=bool(picks) and picks[0].action != picks[0].server.policy.reference,
        choices=[_chosen(pick) for pick in picks],
    )


def _chosen(pick: HeadChoice) -> Chosen:
    server = pick.server
    return Chosen(
        pick.head, pick.action, pick.propensity, pick.marginal, pick.explored, pick.learnable,
        server.version, server.generation, pick.eligible, server.fallback,
    )  # fmt: skip


def _again(known: PersonServingState, original: int, request: DecisionRequest) -> RenderedAnswer | None:
    """The original answer to a request that was answered before, from its rows; None when they were erased meanwhile. Raises
    InputError when the body is another.
    """
    served = ServedDecision.objects.select_related("decision__loop_version__loop").filter(pk=original).first()
    states = states_opened([served.decision]) if served else {}
    if served is None or not states:
        return None
    if bytes(served.seed) != _seed(known, request):
        raise InputError("this requestId was used with another body; use a new requestId for a new question")
    answered = AnswerFacts(served.public_id, served.unavailable, served.expires_at, served.closes_at)
    version, state = served.decision.loop_version, states[original].tolist()
    picks = stored_choices(served, state)
    clamped = read_context(version.spec, ScalarDynamics(version.spec), request).clamped
    body = decision_answer(version, request.request_id, answered, state, clamped, picks)
    stable = served_loop(version.loop.name).main.stable
    return RenderedAnswer(body, version.loop_id, picks[0].server.version if picks else stable)


def _seed(known: PersonServingState, request: DecisionRequest) -> bytes:
    """16 bytes that depend on the person, the request and its whole body, and on a secret: what every draw follows from."""
    return _keyed("seed", f"{known.person_key}\0{msgspec.json.encode(request, order='sorted').decode()}")


def _keyed(purpose: str, text: str) -> bytes:
    return keyed(_CONTEXTS[purpose], text)


def _digest(purpose: str, what: bytes) -> bytes:
    return keyed(_CONTEXTS[purpose], what)
