"""What serving needs to know of a person, read in one statement: by id, by pseudonym, or with the token of their own device."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from django.utils.dateparse import parse_date, parse_datetime

from core.prepared_statements import DatabaseRow, read_row
from privacy.services.people.authentication import LOGIN_COLUMNS, LOGIN_TABLES, Caller, StoredLogin, caller_logged_in


class PersonServingState(NamedTuple):
    """What one SELECT tells. ``state_version`` 0: nothing was served or heard in this loop yet; ``memory`` and the
    person's data key as stored, sealed; ``wrapped`` empty: they have no key yet."""

    person_id: int
    population: str
    person_key: str
    consent_mask: int
    wrapped: bytes
    master_version: int
    memory: bytes
    observed_at: datetime | None
    local_day: date | None
    interventions_today: int
    last_intervened: bool
    last_intervention_at: datetime | None
    state_version: int
    original: int | None


_COLUMNS = """p.id, p.population, p.key, b.consent_mask, k.wrapped, k.master_version, s.memory, s.observed_at, s.local_day,
       s.interventions_today, s.last_intervened, s.last_intervention_at, s.version, d.decision_id"""
_OF_PERSON = """LEFT JOIN privacy_budget b ON b.person_id = p.id
LEFT JOIN data_keys k ON k.person_id = p.id
LEFT JOIN serving_states s ON s.person_id = p.id AND s.loop_id = %(loop)s
LEFT JOIN served_decisions d ON d.person_id = p.id AND d.request_key = %(request)s"""
_BY_ID = f"SELECT {_COLUMNS} FROM persons p {_OF_PERSON} WHERE p.id = %(person)s"  # noqa: S608  constants of this module
_BY_KEY = f"SELECT {_COLUMNS} FROM persons p {_OF_PERSON} WHERE p.population = %(population)s AND p.key = %(key)s"  # noqa: S608
_BY_TOKEN = f"""
SELECT {LOGIN_COLUMNS}, {_COLUMNS} FROM {LOGIN_TABLES} LEFT JOIN persons p ON p.id = a.person_id {_OF_PERSON}
WHERE t.digest = %(digest)s"""  # noqa: S608


def serving_state_by_id(*, person_id: int, loop_id: int, request_key: bytes) -> PersonServingState | None:
    """What serving needs of a person by id; None when there is nobody."""
    return _known(read_row(_BY_ID, {"loop": loop_id, "request": request_key, "person": person_id}))


def serving_state_by_key(*, population: str, key: str, loop_id: int, request_key: bytes) -> PersonServingState | None:
    """The same by pseudonym."""
    values = {"loop": loop_id, "request": request_key, "population": population, "key": key}
    return _known(read_row(_BY_KEY, values))


def serving_state_by_token(
    *, digest: str, loop_id: int, request_key: bytes
) -> tuple[Caller, PersonServingState | None]:
    """Who a token speaks for and, if it is a person's own, what serving needs of them. Raises Unauthorized."""
    row = read_row(_BY_TOKEN, {"loop": loop_id, "request": request_key, "digest": digest})
    if row is None:
        return caller_logged_in(digest, None), None
    width = len(StoredLogin._fields)
    return caller_logged_in(digest, StoredLogin(*row[:width])), _known(row[width:])


def _known(row: DatabaseRow | None) -> PersonServingState | None:
    if row is None or row[3] is None:  # nobody, or somebody without a budget, for whom nothing may be done
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
    """SQLite gives times as text or without their zone, which is UTC."""
    if isinstance(value, str):
        value = parse_datetime(value)
    if value is not None and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value  # type: ignore[no-any-return]
