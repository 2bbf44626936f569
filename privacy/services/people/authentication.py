"""Who calls the API: a person's device, a service that acts for people, or an operator, by knox tokens (kept as digests)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from django.contrib.auth import get_user_model
from django.db import models
from django.utils import timezone
from knox.crypto import hash_token

from core.errors import Forbidden, NotFound, Unauthorized
from core.prepared_statements import read_row
from privacy.models import Person
from privacy.services.people.identity import person_key

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


class StoredLogin(NamedTuple):
    """A token's row."""

    expiry: datetime | None
    user_id: int
    active: bool
    person_id: int | None


LOGIN_COLUMNS = "t.expiry, u.id, u.is_active, a.person_id"
LOGIN_TABLES = (
    """knox_authtoken t JOIN auth_user u ON u.id = t.user_id LEFT JOIN person_accounts a ON a.user_id = u.id"""
)
_LOOK_UP = f"SELECT {LOGIN_COLUMNS} FROM {LOGIN_TABLES} WHERE t.digest = %(digest)s"  # noqa: S608  constants of this module
_cache: dict[str, tuple[float, datetime | None, Caller]] = {}


def token_digest(header: str) -> str:
    """The digest of the token in an Authorization header. Raises Unauthorized."""
    kind, _, token = header.partition(" ")
    token = token.strip()
    if kind.lower() not in _WORDS or not token:
        raise Unauthorized("send your token in the header Authorization: Token ...")
    return str(hash_token(token))


def caller_remembered(digest: str) -> Caller | None:
    """Who a token spoke for when it was looked up lately."""
    found = _cache.get(digest)
    if found is None or found[0] <= time.monotonic():
        return None
    return found[2] if found[1] is None or found[1] > timezone.now() else None


def caller_of(digest: str) -> Caller:
    """Who a token speaks for. Raises Unauthorized."""
    found = caller_remembered(digest)
    if found is None:
        row = read_row(_LOOK_UP, {"digest": digest})
        found = caller_logged_in(digest, None if row is None else StoredLogin(*row))
    return found


def caller_logged_in(digest: str, login: StoredLogin | None) -> Caller:
    """The caller of a token's row, from now on remembered. A person's own account acts for that person alone, whatever else it
    may do. Raises Unauthorized.
    """
    expiry, user_id, active, person_id = login or StoredLogin(None, 0, False, None)
    if expiry is not None and expiry.tzinfo is None:  # SQLite gives times without their zone, which is UTC
        expiry = expiry.replace(tzinfo=UTC)
    if not active or (expiry is not None and expiry <= timezone.now()):
        raise Unauthorized("this token is unknown, revoked or expired; log in again")
    may_serve = person_id is None and get_user_model().objects.get(pk=user_id).has_perm(SERVE)
    caller = Caller(user_id, person_id, may_serve)
    if len(_cache) >= _MOST_CACHED:
        _cache.clear()
    _cache[digest] = (time.monotonic() + CACHE_SECONDS, expiry, caller)
    return caller


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
