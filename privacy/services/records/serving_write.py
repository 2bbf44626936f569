"""A decision's one write, with the serving state that it leaves behind, for somebody whose data key is there.

One statement on PostgreSQL and one transaction on SQLite; it moves the person's serving state only from the version that was
read, so two phones that ask at once take turns and no daily cap is passed. Whoever is being erased gets no further decision: the
key is held while it is written, and an erasure takes the key first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.db import IntegrityError, connection, transaction

from core.prepared_statements import write_row
from privacy.services.records.serving_read import PersonServingState


class Chosen(msgspec.Struct, frozen=True, gc=False):
    """One choice as it is written."""

    head: str
    action: int
    propensity: float
    marginal_propensity: float
    explored: bool
    learnable: bool
    version: int
    generation: int
    eligible: int | None
    fallback: str


class DecisionToWrite(NamedTuple):
    """A decision as it is written, with the serving state that it leaves behind."""

    known: PersonServingState
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


def decision_write(decided: DecisionToWrite) -> int:
    """Write a decision with its choices and the serving state; returns its id, committed. LostRace: nothing was written."""
    try:
        if connection.vendor == "postgresql":
            return _write_postgresql(decided)
        return _write_sqlite(decided)
    except IntegrityError as error:
        raise LostRace from error


# Column -> value, of each table that a decision writes.
_STATE = {
    "memory": "memory", "observed_at": "observed_at", "local_day": "local_day", "interventions_today": "today",
    "last_intervened": "spoke", "last_intervention_at": "last", "last_decision_at": "now",
}  # fmt: skip
_DECISION = {
    "created_at": "now", "person_id": "person", "loop_version_id": "loop_version", "row_key": "seed", "decided_at": "now",
    "local_day": "local_day", "available": "available", '"left"': "left", "state": "state",
}  # fmt: skip
_SERVED = {
    "person_id": "person", "public_id": "public_id", "request_key": "request_key", "seed": "seed",
    "exploration_bp": "exploration_bp", "unavailable": "unavailable", "clamped": "clamped", "expires_at": "expires_at",
    "closes_at": "closes_at",
}  # fmt: skip
_CHOICE = {
    "head": "text", "action": "smallint", "propensity": "float8", "marginal_propensity": "float8", "explored": "boolean",
    "learnable": "boolean", "version": "bigint", "generation": "int", "eligible": "bigint", "fallback": "text",
}  # fmt: skip
_TYPES = {
    "person": "bigint", "loop": "bigint", "version": "bigint", "memory": "bytea", "state": "bytea", "observed_at": "timestamptz",
    "local_day": "date", "today": "int", "spoke": "boolean", "last": "timestamptz", "now": "timestamptz",
    "loop_version": "bigint", "available": "boolean", "left": "boolean", "public_id": "uuid", "request_key": "bytea",
    "seed": "bytea", "exploration_bp": "int", "unavailable": "text", "clamped": "int", "expires_at": "timestamptz",
    "closes_at": "timestamptz", "choices": "json",
}  # fmt: skip


def _values(d: DecisionToWrite) -> dict[str, Any]:
    spoke, same_day = d.intervened, d.known.local_day == d.local_day
    return {
        "person": d.known.person_id,
        "loop": d.loop_id,
        "version": d.known.state_version,
        "memory": d.memory,
        "state": d.state,
        "observed_at": d.observed_at,
        "local_day": d.local_day,
        "today": (d.known.interventions_today if same_day else 0) + spoke,
        "spoke": spoke,
        "last": d.now if spoke else d.known.last_intervention_at,
        "now": d.now,
        "loop_version": d.loop_version_id,
        "available": d.unavailable == "",
        "left": False,
        "public_id": d.public_id.hex,
        "request_key": d.request_key,
        "seed": d.seed,
        "exploration_bp": d.exploration_bp,
        "unavailable": d.unavailable,
        "clamped": d.clamped,
        "expires_at": d.expires_at,
        "closes_at": d.closes_at,
    }


def _typed(names: Iterable[str]) -> str:
    return ", ".join(f"%({name})s::{_TYPES[name]}" for name in names)


_PG_WRITE = f"""
WITH moved AS (
  INSERT INTO serving_states AS s (person_id, loop_id, version, {", ".join(_STATE)})
  SELECT k.person_id, {_typed(["loop"])}, 1, {_typed(_STATE.values())}
  FROM data_keys k WHERE k.person_id = {_typed(["person"])} FOR KEY SHARE
  ON CONFLICT (person_id, loop_id) DO UPDATE SET version = s.version + 1, {", ".join(f"{c} = EXCLUDED.{c}" for c in _STATE)}
  WHERE s.version = {_typed(["version"])}
  RETURNING 1),
d AS (
  INSERT INTO decisions ({", ".join(_DECISION)}) SELECT {_typed(_DECISION.values())} FROM moved RETURNING id),
served AS (
  INSERT INTO served_decisions (decision_id, {", ".join(_SERVED)}) SELECT d.id, {_typed(_SERVED.values())} FROM d),
chosen AS (
  INSERT INTO decision_choices (decision_id, {", ".join(_CHOICE)})
  SELECT d.id, c.* FROM d, json_to_recordset({_typed(["choices"])}) AS c ({", ".join(f"{c} {t}" for c, t in _CHOICE.items())}))
SELECT id FROM d"""  # noqa: S608  names are constants of this module


def _write_postgresql(d: DecisionToWrite) -> int:
    """One statement, so one round trip and one commit."""
    row = write_row(_PG_WRITE, _values(d) | {"choices": msgspec.json.encode(d.choices).decode()})
    if row is None:
        raise LostRace
    return int(row[0])


def _inserted(table: str, columns: Mapping[str, str], *first: str) -> str:
    """An INSERT of named values, ``first`` of them in columns of their own."""
    names = [*(f"%({f})s" for f in first), *(f"%({v})s" for v in columns.values())]
    return f"INSERT INTO {table} ({', '.join([*first, *columns])}) VALUES ({', '.join(names)})"  # noqa: S608


_KEY_THERE = "SELECT 1 FROM data_keys WHERE person_id = %(person)s"
_STATE_MOVE = f"""
UPDATE serving_states SET version = version + 1, {", ".join(f"{c} = %({v})s" for c, v in _STATE.items())}
WHERE person_id = %(person)s AND loop_id = %(loop)s AND version = %(version)s"""  # noqa: S608
_STATE_NEW = _inserted("serving_states", {"person_id": "person", "loop_id": "loop", "version": "one"} | _STATE)
_DECISION_NEW = _inserted("decisions", _DECISION)
_SERVED_NEW = _inserted("served_decisions", _SERVED, "decision_id")
_CHOICE_NEW = _inserted("decision_choices", {c: c for c in _CHOICE}, "decision_id")


@transaction.atomic
def _write_sqlite(d: DecisionToWrite) -> int:
    values = {name: _plain(value) for name, value in _values(d).items()} | {"one": 1}
    with connection.cursor() as cursor:
        if cursor.execute(_KEY_THERE, values).fetchone() is None:
            raise LostRace
        cursor.execute(_STATE_MOVE, values)
        if cursor.rowcount == 0:
            if d.known.state_version:
                raise LostRace
            cursor.execute(_STATE_NEW, values)
        cursor.execute(_DECISION_NEW, values)
        pk = int(cursor.lastrowid or 0)
        cursor.execute(_SERVED_NEW, values | {"decision_id": pk})
        for choice in d.choices:
            cursor.execute(_CHOICE_NEW, msgspec.structs.asdict(choice) | {"decision_id": pk})
    return pk


def _plain(value: Any) -> Any:
    """A time as SQLite keeps it."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return value.isoformat() if isinstance(value, date) else value
