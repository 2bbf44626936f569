"""Who calls the API: a person's device, a service that acts for people, or an operator, by knox tokens (kept as digests)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from django.db import models
from django.http import HttpRequest
from django.utils import timezone
from knox.crypto import hash_token
from knox.models import get_token_model

from privacy.models import Person, PersonAccount
from privacy.services.people import person_key
from r3al_project.common.errors import Forbidden, NotFound, Unauthorized

CACHE_SECONDS = 2.0  # a revoked token is refused by every process within this time
SERVE = "privacy.serve_people"
_MOST_CACHED = 10_000
_WORDS = ("token", "bearer")


@dataclass(frozen=True)
class Caller:
    """A request's user: whose data it may touch (``person_id``), and whether it may act for people it names (``may_serve``)."""

    user_id: int
    person_id: int | None
    may_serve: bool


_cache: dict[str, tuple[float, datetime | None, Caller]] = {}


def caller_of(request: HttpRequest) -> Caller:
    """The caller that the Authorization header names. Raises Unauthorized."""
    kind, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    token = token.strip()
    if kind.lower() not in _WORDS or not token:
        raise Unauthorized("send your token in the header Authorization: Token ...")
    digest = hash_token(token)
    found, now = _cache.get(digest), time.monotonic()
    if found is not None and found[0] > now and (found[1] is None or found[1] > timezone.now()):
        return found[2]
    caller, expiry = _looked_up(digest)
    if len(_cache) >= _MOST_CACHED:
        _cache.clear()
    _cache[digest] = (now + CACHE_SECONDS, expiry, caller)
    return caller


def _looked_up(digest: str) -> tuple[Caller, datetime | None]:
    token = get_token_model().objects.select_related("user").filter(digest=digest).first()
    if token is None or (token.expiry is not None and token.expiry <= timezone.now()) or not token.user.is_active:
        raise Unauthorized("this token is unknown, revoked or expired; log in again")
    person_id = PersonAccount.objects.filter(user=token.user).values_list("person_id", flat=True).first()
    return Caller(token.user.pk, person_id, token.user.has_perm(SERVE)), token.expiry


def forget_callers() -> None:
    """Drop what is cached in this process (tests)."""
    _cache.clear()


def person_of(caller: Caller, *, user_id_given: str | None, population: str) -> int:
    """The person a request is about. Raises Forbidden for somebody else's data, NotFound for a person nobody registered."""
    found = person_filter(caller, user_id_given=user_id_given, population=population)
    pk = Person.objects.filter(found).values_list("pk", flat=True).first()
    if pk is None:
        raise NotFound(unknown_person(caller))
    return pk


def person_filter(caller: Caller, *, user_id_given: str | None, population: str) -> models.Q:
    """The same as a condition on people, without asking the database."""
    if user_id_given is None:
        if caller.person_id is None:
            raise Forbidden("this token is no person's; name the person in userId")
        return models.Q(pk=caller.person_id)
    key = person_key(population=population, identifier=user_id_given)
    if caller.may_serve:
        return models.Q(population=population, key=key)
    if caller.person_id is None:
        raise Forbidden("this token may not act for people; use one of a service account")
    own = Person.objects.filter(pk=caller.person_id, population=population, key=key).exists()
    if not own:
        raise Forbidden("this token may only be used for its own person; leave userId out")
    return models.Q(pk=caller.person_id)


def unknown_person(caller: Caller) -> str:
    """What to say of somebody that nobody registered."""
    return "there is no such person here; register them with POST /api/v1/people first"
