"""Write a decision and the person's new serving state in one step, if the person still has a data key.

It is one statement on PostgreSQL and one transaction on SQLite. It updates the serving state only from the version that was read.
Two phones that ask at once therefore take turns, and no daily cap is exceeded.

A person being erased gets no further decision: the write locks their data key, and an erasure deletes the key first. Nor does a
person who withdrew their consent to personalization since the read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.db import IntegrityError, connection, transaction

from core.prepared_statements import write_row
from loops.models import LoopVersion
from privacy.engine.head_choice import HeadChoice
from privacy.engine.sealing import Cipher, seal_decision
from privacy.engine.serving_state import PersonServingState, pack_serving_state
from privacy.models import Purpose


class DecisionToWrite(NamedTuple):
    """Hold a decision before it is sealed and written, with the person's new serving state.

    ``state``: F numbers in which the decision was made. ``memory``: F reported numbers to store (NaN: never reported).
    """

    person: PersonServingState
    cipher: Cipher
    loop_version: LoopVersion
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
    state: Sequence[float]
    memory: Sequence[float]
    observed_at: datetime | None
    intervened: bool
    choices: Sequence[HeadChoice]


class LostRace(Exception):
    """Raised when since the read another request changed the person's state or answered this one, or their consent ended."""


def decision_write(decided: DecisionToWrite) -> int:
    """Write and commit a decision with its choices and the person's new serving state.

    Returns: the decision's id.
    Raises: LostRace, and then nothing is written.
    """
    state, memory = decision_sealed(decided)
    try:
        values = _values(decided, state, memory)
        if connection.vendor == "postgresql":
            return _write_postgresql(decided, values)
        return _write_sqlite(decided, values)
    except IntegrityError as error:
        raise LostRace from error


def decision_sealed(d: DecisionToWrite) -> tuple[bytes, bytes]:
    """Seal the state at a decision and the person's new serving state with the person's data key."""
    return seal_decision(
        d.cipher,
        struct.pack(f"<{len(d.state)}d", *d.state),
        pack_serving_state(d.loop_version.spec, d.memory, d.state),
        person_id=d.person.person_id,
        loop_id=d.loop_version.loop_id,
        row_key=d.seed,
    )


# Column -> name of its value, for each table that a decision writes.
_STATE = {
    "memory": "memory", "observed_at": "observed_at", "local_day": "local_day", "interventions_today": "today",
    "last_intervened": "intervened", "last_intervention_at": "last", "last_decision_at": "now",
}  # fmt: skip
_DECISION = {
    "created_at": "now", "person_id": "person", "loop_version_id": "loop_version", "row_key": "seed", "decided_at": "now",
    "local_day": "local_day", "available": "available", "dropped_out": "dropped_out", "state": "state",
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
_choice_columns = attrgetter(*_CHOICE)
_TYPES = {
    "person": "bigint", "loop": "bigint", "version": "bigint", "memory": "bytea", "state": "bytea", "observed_at": "timestamptz",
    "local_day": "date", "today": "int", "intervened": "boolean", "last": "timestamptz", "now": "timestamptz",
    "loop_version": "bigint", "available": "boolean", "dropped_out": "boolean", "public_id": "uuid", "request_key": "bytea",
    "seed": "bytea", "exploration_bp": "int", "unavailable": "text", "clamped": "int", "expires_at": "timestamptz",
    "closes_at": "timestamptz", "choices": "json", "wrapped": "bytea",
}  # fmt: skip


def _choice_values(choice: HeadChoice) -> dict[str, Any]:
    return dict(zip(_CHOICE, _choice_columns(choice), strict=True))


def _values(d: DecisionToWrite, state: bytes, memory: bytes) -> dict[str, Any]:
    intervened, same_day = d.intervened, d.person.local_day == d.local_day
    return {
        "person": d.person.person_id,
        "loop": d.loop_version.loop_id,
        "version": d.person.state_version,
        "wrapped": d.person.wrapped,
        "memory": memory,
        "state": state,
        "observed_at": d.observed_at,
        "local_day": d.local_day,
        "today": (d.person.interventions_today if same_day else 0) + intervened,
        "intervened": intervened,
        "last": d.now if intervened else d.person.last_intervention_at,
        "now": d.now,
        "loop_version": d.loop_version.pk,
        "available": d.unavailable == "",
        "dropped_out": False,
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


_CONSENTS = f"""EXISTS (
  SELECT 1 FROM privacy_budget b WHERE b.person_id = k.person_id AND b.consent_mask & {Purpose.PERSONALIZATION.bit} > 0
)"""  # noqa: S608
_PG_WRITE = f"""
WITH moved AS (
  INSERT INTO serving_states AS s (person_id, loop_id, version, {", ".join(_STATE)})
  SELECT k.person_id, {_typed(["loop"])}, 1, {_typed(_STATE.values())}
  FROM data_keys k WHERE k.person_id = {_typed(["person"])} AND k.wrapped = {_typed(["wrapped"])} AND {_CONSENTS} FOR KEY SHARE
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


def _write_postgresql(d: DecisionToWrite, values: Mapping[str, Any]) -> int:
    """Write everything in one statement, which takes one round trip and one commit."""
    choices = msgspec.json.encode([_choice_values(choice) for choice in d.choices]).decode()
    row = write_row(_PG_WRITE, {**values, "choices": choices})
    if row is None:
        raise LostRace
    return int(row[0])


def _insert(table: str, columns: Mapping[str, str], *first: str) -> str:
    """Build an INSERT of named values. The columns ``first`` have the names of their values."""
    names = [*(f"%({f})s" for f in first), *(f"%({v})s" for v in columns.values())]
    return f"INSERT INTO {table} ({', '.join([*first, *columns])}) VALUES ({', '.join(names)})"  # noqa: S608


_KEY_EXISTS = f"SELECT 1 FROM data_keys k WHERE person_id = %(person)s AND wrapped = %(wrapped)s AND {_CONSENTS}"  # noqa: S608
_STATE_MOVE = f"""
UPDATE serving_states SET version = version + 1, {", ".join(f"{c} = %({v})s" for c, v in _STATE.items())}
WHERE person_id = %(person)s AND loop_id = %(loop)s AND version = %(version)s"""  # noqa: S608
_STATE_NEW = _insert("serving_states", {"person_id": "person", "loop_id": "loop", "version": "one"} | _STATE)
_DECISION_NEW = _insert("decisions", _DECISION)
_SERVED_NEW = _insert("served_decisions", _SERVED, "decision_id")
_CHOICE_NEW = _insert("decision_choices", {c: c for c in _CHOICE}, "decision_id")


@transaction.atomic
def _write_sqlite(d: DecisionToWrite, named: Mapping[str, Any]) -> int:
    values = {name: _sqlite_value(value) for name, value in named.items()} | {"one": 1}
    with connection.cursor() as cursor:
        if cursor.execute(_KEY_EXISTS, values).fetchone() is None:
            raise LostRace
        cursor.execute(_STATE_MOVE, values)
        if cursor.rowcount == 0:
            if d.person.state_version:
                raise LostRace
            cursor.execute(_STATE_NEW, values)
        cursor.execute(_DECISION_NEW, values)
        pk = int(cursor.lastrowid or 0)
        cursor.execute(_SERVED_NEW, values | {"decision_id": pk})
        for choice in d.choices:
            cursor.execute(_CHOICE_NEW, _choice_values(choice) | {"decision_id": pk})
    return pk


def _sqlite_value(value: Any) -> Any:
    """Return a value in the form that SQLite stores."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return value.isoformat() if isinstance(value, date) else value
