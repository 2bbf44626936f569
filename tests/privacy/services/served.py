"""Served decisions made directly, with two heads each; and what somebody does who owns the database."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from loops.models import LoopVersion
from privacy.models import Choice, Decision, ServedDecision
from tests.privacy.services.sealed import sealed_state

NOW = datetime(2025, 3, 3, 12, 0, 0, 123456, tzinfo=UTC)


def serve_many(version: LoopVersion, people: list[int], *, first: int = 0) -> list[int]:
    """One served decision for each person named, a sixth of them unavailable. Their ids."""
    made = []
    for n, person in enumerate(people, first):
        available = n % 6 != 5
        row_key = uuid.uuid4().bytes
        decision = Decision.objects.create(
            person_id=person, loop_version=version, row_key=row_key, decided_at=NOW + timedelta(seconds=n),
            local_day=NOW.date(), available=available, state=sealed_state(person, row_key, [n / 7, 0.1]),
        )  # fmt: skip
        ServedDecision.objects.create(
            decision=decision, person_id=person, request_key=uuid.uuid4().bytes, seed=uuid.uuid4().bytes,
            exploration_bp=1_000, unavailable="" if available else "cooldown", expires_at=NOW, closes_at=NOW,
        )  # fmt: skip
        for head in ("tone", "policy") if available else ():
            Choice.objects.create(
                decision=decision, head=head, action=n % 3, propensity=1 / 3, marginal_propensity=0.1 + 1 / 30,
                explored=True, version=7, generation=2, eligible=None,
            )  # fmt: skip
        made.append(decision.pk)
    return made


@contextmanager
def owning_the_database() -> Iterator[None]:
    """Raw SQL past triggers and constraints, as its owner could write it."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET LOCAL session_replication_role = replica")
            yield
            cursor.execute("SET LOCAL session_replication_role = origin")
            return
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'vault%'")
        triggers = cursor.fetchall()
        for name, _ in triggers:
            cursor.execute(f"DROP TRIGGER {name}")
        yield
        for _, made in triggers:
            cursor.execute(made)


def tamper(statement: str, *values: Any) -> None:
    """One raw statement that must change something."""
    with owning_the_database(), connection.cursor() as cursor:
        cursor.execute(statement, list(values))
        assert cursor.rowcount != 0, statement


def as_json(value: object) -> str:
    """A value for a JSON column in raw SQL."""
    return json.dumps(value)
