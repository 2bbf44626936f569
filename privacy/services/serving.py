"""The hot path's reading and writing: one SELECT of what serving needs to know of a person, one write of what it decided.

The write is one statement on PostgreSQL and one transaction on SQLite; it moves the person's serving state only from the version
that was read, so two phones that ask at once take turns and no daily cap is passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.utils.dateparse import parse_date, parse_datetime


class Known(NamedTuple):
    """What one SELECT tells. ``state_version`` 0: nothing was served or heard in this loop yet; arrays as stored (float64)."""

    person_id: int
    population: str
    person_key: str
    consent_mask: int
    memory: bytes
    known: bytes
    observed_at: datetime | None
    local_day: date | None
    interventions_today: int
    last_intervened: bool
    last_intervention_at: datetime | None
    state_version: int
    original: int | None


_SELECT = """
SELECT p.id, p.population, p.key, b.consent_mask, s.memory, s.known, s.observed_at, s.local_day, s.interventions_today,
       s.last_intervened, s.last_intervention_at, s.version, d.decision_id
FROM persons p
JOIN privacy_budget b ON b.person_id = p.id
LEFT JOIN serving_states s ON s.person_id = p.id AND s.loop_id = %s
LEFT JOIN served_decisions d ON d.person_id = p.id AND d.request_key = %s
WHERE """


def known_by_id(*, person_id: int, loop_id: int, request_key: bytes) -> Known | None:
    """What serving needs of a person by id; None when there is nobody."""
    return _known("p.id = %s", [loop_id, request_key, person_id])


def known_by_key(*, population: str, key: str, loop_id: int, request_key: bytes) -> Known | None:
    """The same by pseudonym."""
    return _known("p.population = %s AND p.key = %s", [loop_id, request_key, population, key])


def _known(where: str, values: list[Any]) -> Known | None:
    with connection.cursor() as cursor:
        cursor.execute(_SELECT + where, values)
        row = cursor.fetchone()
    if row is None:
        return None
    pk, population, key, mask, memory, known, observed, day, today, intervened, last, version, original = row
    return Known(
        person_id=pk,
        population=population,
        person_key=key,
        consent_mask=mask,
        memory=bytes(memory or b""),
        known=bytes(known or b""),
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


class Chosen(NamedTuple):
    """One choice as it is written."""

    head: str
    action: int
    propensity: float
    marginal: float
    explored: bool
    learnable: bool
    version: int
    generation: int
    eligible: int | None
    fallback: str


class Decided(NamedTuple):
    """A decision as it is written, with the serving state that it leaves behind."""

    known: Known
    loop_id: int
    loop_version_id: int
    now: datetime
    local_day: date
    request_key: bytes
    public_id: UUID
    seed: bytes
    exploration_bp: int
    unavailable: str
    clamped: int
    expires_at: datetime
    closes_at: datetime
    state: bytes
    memory: bytes
    observed_at: datetime | None
    intervened: bool
    choices: Sequence[Chosen]


class LostRace(Exception):
    """Somebody moved the person's serving state, or answered this request, since it was read: read again."""


def decision_write(decided: Decided) -> int:
    """Write a decision with its choices and the serving state; returns its id, committed. LostRace: nothing was written."""
    try:
        if connection.vendor == "postgresql":
            return _write_postgresql(decided)
        return _write_sqlite(decided)
    except IntegrityError as error:
        raise LostRace from error


_STATE = (
    "memory", "known", "observed_at", "local_day", "interventions_today", "last_intervened", "last_intervention_at",
    "last_decision_at",
)  # fmt: skip
_DECISION = (
    "created_at",
    "person_id",
    "loop_version_id",
    "row_key",
    "decided_at",
    "local_day",
    "available",
    '"left"',
    "state",
)
_SERVED = (
    "person_id", "public_id", "request_key", "seed", "exploration_bp", "unavailable", "clamped", "expires_at", "closes_at",
)  # fmt: skip
_CHOICE = (
    "head", "action", "propensity", "marginal_propensity", "explored", "learnable", "version", "generation", "eligible",
    "fallback",
)  # fmt: skip


def _state_values(d: Decided) -> list[Any]:
    spoke, same_day = d.intervened, d.known.local_day == d.local_day
    today = (d.known.interventions_today if same_day else 0) + spoke
    last = d.now if spoke else d.known.last_intervention_at
    return [d.memory, d.state, d.observed_at, d.local_day, today, spoke, last, d.now]


def _decision_values(d: Decided) -> list[Any]:
    available = d.unavailable == ""
    return [d.now, d.known.person_id, d.loop_version_id, d.seed, d.now, d.local_day, available, False, d.state]


def _served_values(d: Decided) -> list[Any]:
    public = d.public_id if connection.features.has_native_uuid_field else d.public_id.hex
    return [
        d.known.person_id, public, d.request_key, d.seed, d.exploration_bp, d.unavailable, d.clamped, d.expires_at, d.closes_at,
    ]  # fmt: skip


def _choice_values(c: Chosen) -> list[Any]:
    return [
        c.head, c.action, c.propensity, c.marginal, c.explored, c.learnable, c.version, c.generation, c.eligible, c.fallback,
    ]  # fmt: skip


def _marks(count: int) -> str:
    return ", ".join(["%s"] * count)


_CHOICE_ROW = (
    "(%s, %s::smallint, %s::float8, %s::float8, %s::boolean, %s::boolean, %s::bigint, %s::int, %s::bigint, %s)"
)
_PG_HEAD = f"""
WITH moved AS (
  INSERT INTO serving_states AS s (person_id, loop_id, version, {", ".join(_STATE)})
  VALUES (%s, %s, 1, {_marks(len(_STATE))})
  ON CONFLICT (person_id, loop_id) DO UPDATE SET version = s.version + 1, {", ".join(f"{c} = EXCLUDED.{c}" for c in _STATE)}
  WHERE s.version = %s
  RETURNING 1),
d AS (
  INSERT INTO decisions ({", ".join(_DECISION)})
  SELECT {_marks(len(_DECISION))} FROM moved RETURNING id),
served AS (
  INSERT INTO served_decisions (decision_id, {", ".join(_SERVED)})
  SELECT d.id, {_marks(len(_SERVED))} FROM d)"""  # noqa: S608  names are constants of this module
_PG_CHOICES = f""",
chosen AS (
  INSERT INTO decision_choices (decision_id, {", ".join(_CHOICE)})
  SELECT d.id, c.* FROM d, (VALUES {{rows}}) AS c)"""  # noqa: S608


def _write_postgresql(d: Decided) -> int:
    """One statement, so one round trip and one commit."""
    statement = _PG_HEAD
    values = [d.known.person_id, d.loop_id, *_state_values(d), d.known.state_version, *_decision_values(d)]
    values += _served_values(d)
    if d.choices:
        statement += _PG_CHOICES.format(rows=", ".join([_CHOICE_ROW] * len(d.choices)))
        values += [v for c in d.choices for v in _choice_values(c)]
    with connection.cursor() as cursor:
        cursor.execute(statement + " SELECT id FROM d", values)  # noqa: S608
        row = cursor.fetchone()
    if row is None:
        raise LostRace
    return int(row[0])


@transaction.atomic
def _write_sqlite(d: Decided) -> int:
    adapt = connection.ops.adapt_datetimefield_value

    def plain(values: list[Any]) -> list[Any]:
        return [adapt(v) if isinstance(v, datetime) else v.isoformat() if isinstance(v, date) else v for v in values]

    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE serving_states SET version = version + 1, {', '.join(f'{c} = %s' for c in _STATE)} "  # noqa: S608
            "WHERE person_id = %s AND loop_id = %s AND version = %s",
            plain([*_state_values(d), d.known.person_id, d.loop_id, d.known.state_version]),
        )
        if cursor.rowcount == 0:
            if d.known.state_version:
                raise LostRace
            cursor.execute(
                f"INSERT INTO serving_states (person_id, loop_id, version, {', '.join(_STATE)}) "  # noqa: S608
                f"VALUES (%s, %s, 1, {_marks(len(_STATE))})",
                plain([d.known.person_id, d.loop_id, *_state_values(d)]),
            )
        cursor.execute(
            f"INSERT INTO decisions ({', '.join(_DECISION)}) VALUES ({_marks(len(_DECISION))})",  # noqa: S608
            plain(_decision_values(d)),
        )
        pk = int(cursor.lastrowid or 0)
        cursor.execute(
            f"INSERT INTO served_decisions (decision_id, {', '.join(_SERVED)}) VALUES ({_marks(1 + len(_SERVED))})",  # noqa: S608
            plain([pk, *_served_values(d)]),
        )
        cursor.executemany(
            f"INSERT INTO decision_choices (decision_id, {', '.join(_CHOICE)}) VALUES ({_marks(1 + len(_CHOICE))})",  # noqa: S608
            [[pk, *_choice_values(c)] for c in d.choices],
        )
    return pk
