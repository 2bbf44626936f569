"""Read a person's serving state in one statement, by id, by pseudonym or by the presented token."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_date, parse_datetime

from core.errors import InputError
from core.prepared_statements import DatabaseRow, read_row
from privacy.engine.serving_state import PersonServingState
from privacy.services.people.authentication import (
    LOGIN_COLUMNS,
    LOGIN_TABLES,
    StoredLogin,
    Token,
    caller_of,
    person_for,
)
from privacy.services.people.identity import person_key

_COLUMNS = """p.id, p.population, p.key, b.consent_mask, k.wrapped, k.master_version, s.memory, s.observed_at, s.local_day,
       s.interventions_today, s.last_intervened, s.last_intervention_at, s.version, d.decision_id"""
_OF_PERSON = """LEFT JOIN privacy_budget b ON b.person_id = p.id
LEFT JOIN data_keys k ON k.person_id = p.id
LEFT JOIN serving_states s ON s.person_id = p.id AND s.loop_id = %(loop)s
LEFT JOIN served_decisions d ON d.person_id = p.id AND d.request_key = %(request)s"""
_BY_ID = f"SELECT {_COLUMNS} FROM persons p {_OF_PERSON} WHERE p.id = %(person)s"  # noqa: S608  constants of this module
_BY_KEY = f"SELECT {_COLUMNS} FROM persons p {_OF_PERSON} WHERE p.population = %(population)s AND p.key = %(key)s"  # noqa: S608
_NAMED = "(SELECT id FROM persons WHERE population = %(population)s AND key = %(key)s)"
_BY_TOKEN = f"""
SELECT {LOGIN_COLUMNS}, {_COLUMNS} FROM {LOGIN_TABLES}
LEFT JOIN persons p ON p.id = COALESCE(a.person_id, {_NAMED}) {_OF_PERSON}
WHERE t.digest = %(digest)s"""  # noqa: S608
_LOGIN = len(StoredLogin._fields)


def serving_read(
    token: Token, *, user_id: str | None, population: str, loop_id: int, request_key: bytes
) -> PersonServingState:
    """Read the serving state of a request's person in one statement, which also looks up a token that is not cached.

    Args:
        user_id: the person that the request names. A device may leave it out.
        population: the loop's population.
        request_key: 16 bytes that identify the request. They find an earlier decision on the same request.
    Raises: Unauthorized for an unknown token. Forbidden for another person. NotFound for an unregistered person.
    """
    caller, login, row = token.caller, None, None
    values = {"loop": loop_id, "request": request_key}
    if caller is not None and caller.person_id is not None:
        row = read_row(_BY_ID, values | {"person": caller.person_id})
        return person_for(token, None, _person(row), user_id=user_id, population=population)
    values |= {"population": population, "key": _key(token, user_id, population)}
    if caller is None:
        joined = read_row(_BY_TOKEN, values | {"digest": token.digest})
        if joined is not None:
            login, row = StoredLogin(*joined[:_LOGIN]), joined[_LOGIN:]
    elif caller.may_serve and user_id is not None:
        row = read_row(_BY_KEY, values)
    return person_for(token, login, _person(row), user_id=user_id, population=population)


def _key(token: Token, user_id: str | None, population: str) -> str:
    try:
        return "" if user_id is None else person_key(population=population, identifier=user_id)
    except InputError:
        caller_of(token)  # raises first for an unknown caller
        raise


def _person(row: DatabaseRow | None) -> PersonServingState | None:
    if row is None or row[3] is None:  # not registered, or without a privacy budget, so that no decision is allowed
        return None
    pk, population, key, mask, wrapped, master, memory, observed, day, today, intervened, last, version, original = row
    return PersonServingState(
        person_id=pk,
        population=population,
        person_key=key,
        consent_mask=mask,
        wrapped=bytes(wrapped or b""),
        master_version=master or 0,
        memory=bytes(memory or b""),
        observed_at=_moment(observed),
        local_day=parse_date(day) if isinstance(day, str) else day,
        interventions_today=today or 0,
        last_intervened=bool(intervened),
        last_intervention_at=_moment(last),
        state_version=version or 0,
        original=original,
    )


def _moment(value: Any) -> datetime | None:
    """Return a time with its zone. SQLite gives text, or times without a zone, which are UTC."""
    if isinstance(value, str):
        value = parse_datetime(value)
    if value is not None and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value  # type: ignore[no-any-return]
