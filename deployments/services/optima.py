"""Serving a decision (Optima): availability, state, arbiter, one committed write; a retry gets the same answer again."""

from __future__ import annotations

import hashlib
import hmac
import struct
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

import msgspec
from django.conf import settings

from deployments.engine.arbiter import Pick, arbitrate
from deployments.services.answers import Answered, answer
from deployments.services.context import Context, Request, read_context
from deployments.services.served_policies import Serving, servers_for, serving_of
from deployments.services.stored import stored_picks
from loops.engine.availability import Moment, unavailable
from loops.engine.points import Points
from privacy.models import Purpose, ServedDecision
from privacy.services.callers import Caller, caller_of, caller_remembered, unknown_person
from privacy.services.known import Known, known_by_id, known_by_key, known_by_token
from privacy.services.people import person_key
from privacy.services.serving import Chosen, Decided, LostRace, decision_write
from r3al_project.common.errors import Conflict, Forbidden, InputError, NotFound

EXPIRES = timedelta(minutes=15)  # an answer older than this speaks of a state that is gone
_TRIES = 20


class Told(NamedTuple):
    """An answer in JSON, with the loop and the version of the policy head that it is counted under."""

    body: bytes
    loop_id: int
    version_id: int


def decide(token: str, request: Request) -> Told:
    """Answer a request, idempotent by its id. ``token``: the caller's, digested. Raises R3alError; nothing is written then."""
    serving, caller, known = _begin(token, request)
    now = datetime.now(UTC)
    for _ in range(_TRIES):
        known = known or _known(caller, request, serving)
        if known.original is not None:
            return _again(known, request)
        if not known.consent_mask & Purpose.PERSONALIZATION.bit:
            raise Forbidden("the person has not consented to personalization, so nothing may be decided for them")
        decided, told = work_out(serving, request, known, now)
        try:
            decision_write(decided)
        except LostRace:
            known = None
            continue
        return told
    raise Conflict("the person's state kept changing meanwhile; send the request again")


def _begin(token: str, request: Request) -> tuple[Serving, Caller, Known | None]:
    """What serves, who asks, and what is known of them when the token had to be looked up anyway."""
    caller, known = caller_remembered(token), None
    try:
        serving = serving_of(request.loop)
    except NotFound:
        caller_of(token)  # somebody unknown learns no loop's name
        raise
    if caller is None:
        key = _keyed("request", request.request_id)
        caller, own = known_by_token(digest=token, loop_id=serving.loop_version.loop_id, request_key=key)
        known = own and _checked(own, caller, request, serving.spec.population)
    return serving, caller, known


def work_out(serving: Serving, request: Request, known: Known, now: datetime) -> tuple[Decided, Told]:
    """The decision and its answer, from what is in memory alone: nothing is read or written. Raises InputError."""
    spec, local = serving.spec, request.local_time or now
    context = read_context(spec, serving.points, request)
    state = compose_state(serving, known, context, local, now)
    seed = _seed(known, request)
    reason = unavailable(spec, _moment(known, local, now), state)
    picks: list[Pick] = []
    if reason is None:
        servers = servers_for(serving, known.person_key)
        picks = arbitrate(servers, state, seed=seed, exploration=serving.exploration, eligible=context.eligible)
    answered = Answered(
        public_id=uuid.UUID(
            bytes=_digest("id", seed)
        ),  # a keyed digest: nobody can guess it, and no system call is needed
        unavailable=reason or "",
        expires_at=now + EXPIRES,
        closes_at=now + timedelta(seconds=spec.reward.deadline_seconds),
    )
    body = answer(serving.loop_version, request.request_id, answered, context.clamped, picks)
    told = Told(body, serving.loop_version.loop_id, picks[0].server.version if picks else serving.main.stable)
    return _decided(serving, request, known, context, answered, state, seed, local, now, picks), told


def _known(caller: Caller, request: Request, serving: Serving) -> Known:
    """The person's row, by the caller's own person or by the identifier that a service gave."""
    key, loop_id = _keyed("request", request.request_id), serving.loop_version.loop_id
    population = serving.spec.population
    if request.user_id is not None and caller.may_serve:
        person = person_key(population=population, identifier=request.user_id)
        known = known_by_key(population=population, key=person, loop_id=loop_id, request_key=key)
    elif caller.person_id is None:
        may = "name the person in userId" if caller.may_serve else "use one of a person or of a service account"
        raise Forbidden(f"this token is no person's; {may}")
    else:
        known = known_by_id(person_id=caller.person_id, loop_id=loop_id, request_key=key)
    return _checked(known, caller, request, population)


def _checked(known: Known | None, caller: Caller, request: Request, population: str) -> Known:
    """The row if it is one of the loop's population and, to a device, its own person's. Raises NotFound, Forbidden."""
    named = None if known is None or caller.may_serve else request.user_id
    if known and named is not None and person_key(population=population, identifier=named) != known.person_key:
        raise Forbidden("this token may only be used for its own person; leave userId out")
    if known is None or known.population != population:
        raise NotFound(unknown_person(caller))
    return known


def _moment(known: Known, local: datetime, now: datetime) -> Moment:
    today = known.interventions_today if known.local_day == local.date() else 0
    last = known.last_intervention_at
    return Moment(local, today, None if last is None else max(now - last, timedelta()))


def compose_state(serving: Serving, known: Known, context: Context, local: datetime, now: datetime) -> list[float]:
    """F numbers: what the app says now; else what follows from the last decision; else what was heard lately. NaN: not known."""
    state = list(context.values)
    before, same_day = _floats(known.known, serving.points.count), known.local_day == local.date()
    serving.points.fill(state, before, intervened=known.last_intervened, same_day=same_day)
    heard = remembered(serving, known, now)
    return state if heard is None else [a if a == a else b for a, b in zip(state, heard, strict=True)]


def remembered(serving: Serving, known: Known, now: datetime) -> Sequence[float] | None:
    """F numbers that were heard of a person (NaN: never), while the newest is not older than the loop's ``memory``; else None."""
    if known.observed_at is None:
        return None
    fresh = (now - known.observed_at).total_seconds() <= serving.spec.availability.memory_seconds
    return _floats(known.memory, serving.points.count) if fresh else None


def _floats(stored: bytes, count: int) -> Sequence[float] | None:
    """A state as it is stored; None for none, and for one of a version of the loop with more or fewer features."""
    return struct.unpack(f"<{count}d", stored) if len(stored) == 8 * count else None


def _stored(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def _decided(
    serving: Serving, request: Request, known: Known, context: Context, answered: Answered, state: Sequence[float],
    seed: bytes, local: datetime, now: datetime, picks: Sequence[Pick],
) -> Decided:  # fmt: skip
    heard, memory = remembered(serving, known, now), context.values
    if heard is not None:
        memory = [a if a == a else b for a, b in zip(memory, heard, strict=True)]
    return Decided(
        known=known,
        loop_id=serving.loop_version.loop_id,
        loop_version_id=serving.loop_version.pk,
        now=now,
        local_day=local.date(),
        request_key=_keyed("request", request.request_id),
        public_id=answered.public_id,
        seed=seed,
        exploration_bp=serving.main.exploration_bp,
        unavailable=answered.unavailable,
        clamped=len(context.clamped),
        expires_at=answered.expires_at,
        closes_at=answered.closes_at,
        state=_stored(state),
        memory=_stored(memory),
        observed_at=now if request.context else known.observed_at,
        intervened=bool(picks) and picks[0].action != picks[0].server.policy.reference,
        choices=[_chosen(pick) for pick in picks],
    )


def _chosen(pick: Pick) -> Chosen:
    server = pick.server
    return Chosen(
        pick.head, pick.action, pick.propensity, pick.marginal, pick.explored, pick.learnable,
        server.version, server.generation, pick.eligible, server.fallback,
    )  # fmt: skip


def _again(known: Known, request: Request) -> Told:
    """The original answer to a request that was answered before, from its rows. Raises InputError when the body is another."""
    served = ServedDecision.objects.select_related("decision__loop_version__loop").get(pk=known.original)
    if bytes(served.seed) != _seed(known, request):
        raise InputError("this requestId was used with another body; use a new requestId for a new question")
    answered = Answered(served.public_id, served.unavailable, served.expires_at, served.closes_at)
    version, picks = served.decision.loop_version, stored_picks(served)
    clamped = read_context(version.spec, Points(version.spec), request).clamped
    body = answer(version, request.request_id, answered, clamped, picks)
    stable = serving_of(version.loop.name).main.stable
    return Told(body, version.loop_id, picks[0].server.version if picks else stable)


def _seed(known: Known, request: Request) -> bytes:
    """16 bytes that depend on the person, the request and its whole body, and on a secret: what every draw follows from."""
    return _keyed("seed", f"{known.person_key}\0{msgspec.json.encode(request, order='sorted').decode()}")


def _keyed(purpose: str, text: str) -> bytes:
    return _digest(purpose, text.encode())


def _digest(purpose: str, what: bytes) -> bytes:
    return hashlib.blake2b(what, key=_key(purpose), digest_size=16).digest()


@cache
def _key(purpose: str) -> bytes:
    return hmac.digest(settings.ANONYMIZATION_SALT.encode(), f"serving {purpose}".encode(), "sha256")
