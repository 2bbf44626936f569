"""A database of the schema from before states were sealed: filled with raw SQL, migrated, and read by today's code."""

from __future__ import annotations

import struct
from typing import Any

from django.core.management import call_command
from django.db import connection

from loops.engine.parse.loop import parse_loop
from privacy.engine.sealing import about_serving_state
from privacy.engine.serving_state import unpack_serving_state
from privacy.models import Decision, ReleaseRound, RewardSignal, ServingState
from privacy.selectors.exports import round_output
from privacy.selectors.keys import ciphers_known
from tests.factories.loops import SOURCE
from tests.factories.sealed import outcome_of, state_values

PEOPLE = 1202
EXPORT = b"rows of an export"
DAY, NOW = "2025-01-06", "2025-01-06 09:00:00"


def main() -> dict[str, Any]:
    width = len(parse_loop(SOURCE, source="r3al.toml").features)
    state = struct.pack(f"<{width}d", *(i / 10 for i in range(width)))
    call_command("migrate", "privacy", "0008", verbosity=0)
    call_command("migrate", "deployments", "0001", verbosity=0)
    call_command("migrate", "auth", verbosity=0)
    fill(state, struct.pack("<7d", *(i / 4 for i in range(7))))
    call_command("migrate", verbosity=0)
    return {
        "left open": sum(state in bytes(d.state) for d in Decision.objects.all()),
        "states": sorted({tuple(state_values(d)) for d in Decision.objects.all()}),
        "outcomes": sorted({tuple(outcome_of(o)) for o in RewardSignal.objects.select_related("decision")}),
        "rewarded": sorted(set(RewardSignal.objects.values_list("has_reward", flat=True)), key=str),
        "remembered": [remembered(row) for row in ServingState.objects.order_by("person_id")],
        "width": width,
        "export": exported(),
    }


def fill(state: bytes, outcome: bytes) -> None:
    """People with a decision and an outcome each, three of whom serving remembers."""
    run("INSERT INTO loops (id, created_at, name) VALUES (1, %s, 'r3al')", NOW)
    run("INSERT INTO loop_versions (id, created_at, loop_id, version, source, sha256) VALUES (1, %s, 1, 1, %s, 'x')",
        NOW, SOURCE)  # fmt: skip
    for i in range(1, PEOPLE + 1):
        run(
            "INSERT INTO persons (id, created_at, population, key, fold) VALUES (%s, %s, 'r3al', %s, 1)",
            i,
            NOW,
            f"p{i}",
        )
        run("INSERT INTO decisions (id, created_at, person_id, loop_version_id, row_key, decided_at, local_day, available, "
            "\"left\", state) VALUES (%s, %s, %s, 1, %s, %s, %s, TRUE, FALSE, %s)",
            i, NOW, i, str(i).encode(), NOW, DAY, state)  # fmt: skip
        run("INSERT INTO reward_signals (created_at, decision_id, payload, closed_at) VALUES (%s, %s, %s, %s)",
            NOW, i, outcome, NOW)  # fmt: skip
    run("INSERT INTO anonymization_logs (id, created_at, key, loop_version_id, purpose, technique, mechanism, unit, neighbouring, "
        "parameters, policy_cost, guarantee, library_version, state, data_type, committed_at) VALUES (1, %s, 'one', 1, "
        "'training', 'pseudonymization', 'm', 'user', 'none', '{}', 1, 'none', '', 'committed', 'pulse', %s)", NOW, NOW)  # fmt: skip
    run("INSERT INTO release_rounds (created_at, release_id, \"index\", output, output_sha256, expires_at) "
        "VALUES (%s, 1, 0, %s, 'plain', %s)", NOW, EXPORT, NOW)  # fmt: skip
    for i, memory, known in ((1, state, state), (2, state, b""), (3, b"12345678", b"")):
        run("INSERT INTO serving_states (person_id, loop_id, memory, known, version, interventions_today, last_intervened) "
            "VALUES (%s, 1, %s, %s, 1, 0, FALSE)", i, memory, known)  # fmt: skip


def exported() -> dict[str, Any]:
    """How the rows of an export are stored now, and what they are once opened."""
    stored = ReleaseRound.objects.get()
    return {"open": EXPORT in bytes(stored.output), "rows": round_output(stored).decode(), "sha256": stored.output_sha256}


def run(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def remembered(row: ServingState) -> Any:
    """What today's code reads of somebody's sealed memory."""
    cipher, about = ciphers_known([row.person_id])[row.person_id], about_serving_state(row.person_id, row.loop_id)
    return unpack_serving_state(
        row.loop.versions.get().spec, cipher.open(bytes(row.memory), about) if row.memory else b""
    )
