"""Who calls the API: a person's device, a service that acts for people, or an operator, by knox tokens (kept as digests)."""

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

CACHE_SECONDS = 2.0  # a revoked token is refused by every process within this time
_MOST_CACHED = 10_000
_WORDS = ("token", "bearer")


@dataclass(frozen=True)
class Caller:
    """A request's user: whose data it may touch (``person_id``), and whether it may act for people it names (``may_serve``)."""

    user_id: int
    person_id: int | None
    may_serve: bool


class Token(NamedTuple):
    """A token as it is presented: its digest, and who it spoke for when it was looked up lately (None: it was not)."""

    digest: str
    caller: Caller | None


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


def token_read(header: str) -> Token:
    """Read the token in an Authorization header, without asking the database. Raises Unauthorized."""
    kind, _, token = header.partition(" ")
    token = token.strip()
    if kind.lower() not in _WORDS or not token:
        raise Unauthorized("send your token in the header Authorization: Token ...")
    digest = str(hash_token(token))
    return Token(digest, _remembered(digest))


def _remembered(digest: str) -> Caller | None:
    found = _cache.get(digest)
    if found is None or found[0] <= time.monotonic():
        return None
    return found[2] if found[1] is None or found[1] > timezone.now() else None


def caller_of(token: Token) -> Caller:
    """Who a token speaks for. Raises Unauthorized."""
    if token.caller is not None:
        return token.caller
    row = read_row(_LOOK_UP, {"digest": token.digest})
    return caller_logged_in(token.digest, None if row is None else StoredLogin(*row))


def caller_logged_in(digest: str, login: StoredLogin | None) -> Caller:
    """The caller of a token's row, from now on remembered. A person's own account acts for that person alone, whatever else it
    may do. Raises Unauthorized.
    """
    expiry, user_id, active, person_id = login or StoredLogin(None, 0, False, None)
    if expiry is not None and expiry.tzinfo is None:  # SQLite gives times without their zone, which is UTC
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
    """Drop what is cached in this process (tests)."""
    _cache.clear()


class Someone(Protocol):
    """A person as far as a caller's right depends on them."""

    @property
    def person_id(self) -> int: ...
    @property
    def population(self) -> str: ...
    @property
    def person_key(self) -> str: ...


class PersonRow(NamedTuple):
    """What ``may_act_for`` reads of a person."""

    person_id: int
    population: str
    person_key: str


S = TypeVar("S", bound=Someone)


def may_act_for(caller: Caller, person: Someone, *, user_id: str | None, population: str) -> bool:
    """Tell whether a request may be about a person. ``user_id``: whom it names, in ``population``; None: it names nobody.

    A person's own device acts for them alone, and need not name them. A service acts for whom it names.
    """
    own, served = caller.person_id == person.person_id, caller.may_serve and user_id is not None
    allowed = served if caller.person_id is None else own
    return allowed and (user_id is None or person_key(population=population, identifier=user_id) == person.person_key)


def own_person_id(caller: Caller, user_id: str | None) -> int | None:
    """Return the caller's own person, whom the request is about; None where a service names somebody. Raises Forbidden."""
    if caller.person_id is not None or (caller.may_serve and user_id is not None):
        return caller.person_id
    may = "name the person in userId" if caller.may_serve else "use one of a person or of a service account"
    raise Forbidden(f"this token is no person's; {may}")


def person_checked(caller: Caller, person: S | None, *, user_id: str | None, population: str) -> S:
    """Return the person that was found if the caller may act for them in ``population``. Raises Forbidden, NotFound."""
    if person is not None and not may_act_for(caller, person, user_id=user_id, population=population):
        raise Forbidden("this token may only be used for its own person; leave userId out")
    if person is None or person.population != population:
        raise NotFound("there is no such person here; register them with POST /api/v1/people first")
    return person


def person_for(token: Token, login: StoredLogin | None, person: S | None, *, user_id: str | None, population: str) -> S:
    """Return the person that was found if whoever presents the token may act for them in ``population``. ``login``: the token's
    row, where it had to be looked up. Raises Unauthorized, Forbidden, NotFound.
    """
    caller = token.caller or caller_logged_in(token.digest, login)
    own_person_id(caller, user_id)
    return person_checked(caller, person, user_id=user_id, population=population)


def person_of(caller: Caller, *, user_id_given: str | None, population: str) -> int:
    """The person a request is about. Raises Forbidden for somebody else's data, NotFound for a person nobody registered."""
    people, own = Person.objects.values_list("pk", "population", "key"), own_person_id(caller, user_id_given)
    if own is not None:
        found = people.filter(pk=own).first()
    else:
        key = person_key(population=population, identifier=user_id_given or "")
        found = people.filter(population=population, key=key).first()
    row = None if found is None else PersonRow(*found)
    return person_checked(caller, row, user_id=user_id_given, population=population).person_id


def own_person(user: Any) -> Person:
    """The person whose device's account ``user`` is, with their budget. Raises Forbidden for an account of nobody's."""
    account = getattr(user, "person_account", None)
    if account is None:
        raise Forbidden("this is about a person's own data; use their device's token")
    return Person.objects.select_related("budget").get(pk=account.person_id)
