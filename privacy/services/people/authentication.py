"""Authenticate API callers by their knox tokens, and check whose data a caller may access.

A caller is a person's device, a service that acts for people, or an operator. Tokens are stored as digests.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from django.contrib.auth import get_user_model
from django.utils import timezone
from knox.crypto import hash_token

from core.errors import Forbidden, NotFound, Unauthorized
from core.prepared_statements import read_row
from privacy.models import Person
from privacy.models.person import SERVE_PEOPLE
from privacy.services.people.identity import person_key

CACHE_SECONDS = 2.0  # every process refuses a revoked token within this time
_MOST_CACHED = 10_000
_SCHEMES = ("token", "bearer")


@dataclass(frozen=True)
class Caller:
    """Hold the user of a request.

    ``person_id``: the person whose data it may access, if it is a device. ``may_serve``: whether it may act for people it names.
    """

    user_id: int
    person_id: int | None
    may_serve: bool


class Token(NamedTuple):
    """Hold a presented token: its digest, and its caller if that is cached."""

    digest: str
    caller: Caller | None


class StoredLogin(NamedTuple):
    """Hold a token's row with its account."""

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


def token_read(header: str) -> Token:
    """Read the token in an Authorization header, without a database query. Raises Unauthorized."""
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() not in _SCHEMES or not token:
        raise Unauthorized("the request has no token; send it in the header Authorization: Token ...")
    digest = str(hash_token(token))
    return Token(digest, _cached_caller(digest))


def _cached_caller(digest: str) -> Caller | None:
    entry = _cache.get(digest)
    if entry is None or entry[0] <= time.monotonic():
        return None
    return entry[2] if entry[1] is None or entry[1] > timezone.now() else None


def caller_of(token: Token) -> Caller:
    """Return the caller of a token. Raises Unauthorized."""
    if token.caller is not None:
        return token.caller
    row = read_row(_LOOK_UP, {"digest": token.digest})
    return caller_logged_in(token.digest, None if row is None else StoredLogin(*row))


def caller_logged_in(digest: str, login: StoredLogin | None) -> Caller:
    """Check a token's row, and cache and return its caller. Raises Unauthorized.

    A person's own account may act only for that person, whatever its permissions are.
    """
    expiry, user_id, active, person_id = login or StoredLogin(None, 0, False, None)
    if expiry is not None and expiry.tzinfo is None:  # SQLite gives times without a zone, which are UTC
        expiry = expiry.replace(tzinfo=UTC)
    if not active or (expiry is not None and expiry <= timezone.now()):
        raise Unauthorized("this token is unknown, revoked or expired; log in again")
    may_serve = person_id is None and get_user_model().objects.get(pk=user_id).has_perm(SERVE_PEOPLE)
    caller = Caller(user_id, person_id, may_serve)
    if len(_cache) >= _MOST_CACHED:
        _cache.clear()
    _cache[digest] = (time.monotonic() + CACHE_SECONDS, expiry, caller)
    return caller


def forget_callers() -> None:
    """Empty this process's cache of callers (tests)."""
    _cache.clear()


class PersonIdentity(Protocol):
    """Define the fields of a person that a caller's rights depend on."""

    @property
    def person_id(self) -> int: ...
    @property
    def population(self) -> str: ...
    @property
    def person_key(self) -> str: ...


class PersonRow(NamedTuple):
    """Hold the fields of a person that a caller's rights depend on."""

    person_id: int
    population: str
    person_key: str


S = TypeVar("S", bound=PersonIdentity)


def may_act_for(caller: Caller, person: PersonIdentity, *, user_id: str | None, population: str) -> bool:
    """Tell whether a caller may act for a person.

    A person's own device may act only for them and need not name them. A service may act for the person that it names.

    Args:
        user_id: the person that the request names, in ``population``. None if it names nobody.
    """
    is_own, is_served = caller.person_id == person.person_id, caller.may_serve and user_id is not None
    allowed = is_served if caller.person_id is None else is_own
    return allowed and (user_id is None or person_key(population=population, identifier=user_id) == person.person_key)


def own_person_id(caller: Caller, user_id: str | None) -> int | None:
    """Return the id of the caller's own person, or None if a service names a person. Raises Forbidden."""
    if caller.person_id is not None or (caller.may_serve and user_id is not None):
        return caller.person_id
    remedy = "name the person in userId" if caller.may_serve else "use the token of a person or of a service account"
    raise Forbidden(f"this token does not belong to a person; {remedy}")


def person_checked(caller: Caller, person: S | None, *, user_id: str | None, population: str) -> S:
    """Return ``person`` if the caller may act for them in ``population``. Raises Forbidden, NotFound."""
    if person is not None and not may_act_for(caller, person, user_id=user_id, population=population):
        raise Forbidden("this token may only be used for its own person; leave userId out")
    if person is None or person.population != population:
        raise NotFound("this person is not registered; register them with POST /api/v1/people first")
    return person


def person_for(token: Token, login: StoredLogin | None, person: S | None, *, user_id: str | None, population: str) -> S:
    """Return ``person`` if the token's caller may act for them in ``population``.

    Args:
        login: the token's row, if the caller is not cached.
    Raises: Unauthorized, Forbidden, NotFound.
    """
    caller = token.caller or caller_logged_in(token.digest, login)
    own_person_id(caller, user_id)
    return person_checked(caller, person, user_id=user_id, population=population)


def person_of(caller: Caller, *, user_id_given: str | None, population: str) -> int:
    """Return the id of the person that a request is about.

    Raises: Forbidden for another person's data. NotFound for a person who is not registered.
    """
    people, own = Person.objects.values_list("pk", "population", "key"), own_person_id(caller, user_id_given)
    if own is not None:
        found = people.filter(pk=own).first()
    else:
        assert user_id_given is not None  # a service names the person, or own_person_id raises
        key = person_key(population=population, identifier=user_id_given)
        found = people.filter(population=population, key=key).first()
    row = None if found is None else PersonRow(*found)
    return person_checked(caller, row, user_id=user_id_given, population=population).person_id


def own_person(user: Any) -> Person:
    """Return the person who owns a device's account, with their budget. Raises Forbidden for any other account."""
    account = getattr(user, "person_account", None)
    if account is None:
        raise Forbidden("this request is about a person's own data; use the token of their device")
    return Person.objects.select_related("budget").get(pk=account.person_id)
