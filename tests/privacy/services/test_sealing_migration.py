"""A database from before states were sealed: every state, outcome and memory is sealed by the migration, and reads as before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.embedded  # it has a database of its own
ROOT = Path(__file__).resolve().parents[3]
# Runs in a process of its own: a database of the old schema is filled with raw SQL, migrated, and read by today's code.
OLD_AND_NEW = """
import json, struct, sys
import django
django.setup()
from django.core.management import call_command
from django.db import connection
call_command("migrate", "privacy", "0008", verbosity=0)
call_command("migrate", "deployments", "0001", verbosity=0)
call_command("migrate", "auth", verbosity=0)
from tests.privacy.services.people import SOURCE
from loops.engine.parse.loop import parse_loop
width = len(parse_loop(SOURCE, source="r3al.toml").features)
state = struct.pack(f"<{width}d", *(i / 10 for i in range(width)))
outcome = struct.pack("<7d", *(i / 4 for i in range(7)))
with connection.cursor() as cursor:
    run = lambda sql, *values: cursor.execute(sql, values)
    day, now = "2025-01-06", "2025-01-06 09:00:00"
    run("INSERT INTO loops (id, created_at, name) VALUES (1, %s, 'r3al')", now)
    run("INSERT INTO loop_versions (id, created_at, loop_id, version, source, sha256) VALUES (1, %s, 1, 1, %s, 'x')", now, SOURCE)
    for i in range(1, 1203):
        run("INSERT INTO persons (id, created_at, population, key, fold) VALUES (%s, %s, 'r3al', %s, 1)", i, now, f"p{i}")
        run("INSERT INTO decisions (id, created_at, person_id, loop_version_id, row_key, decided_at, local_day, available, "
            "\\"left\\", state) VALUES (%s, %s, %s, 1, %s, %s, %s, TRUE, FALSE, %s)", i, now, i, str(i).encode(), now, day, state)
        run("INSERT INTO reward_signals (created_at, decision_id, payload, closed_at) VALUES (%s, %s, %s, %s)",
            now, i, outcome, now)
    for i, memory, known in ((1, state, state), (2, state, b""), (3, b"12345678", b"")):
        run("INSERT INTO serving_states (person_id, loop_id, memory, known, version, interventions_today, last_intervened) "
            "VALUES (%s, 1, %s, %s, 1, 0, FALSE)", i, memory, known)
call_command("migrate", verbosity=0)
from privacy.engine.serving_state import unpack_serving_state
from privacy.engine.sealing import about_memory
from privacy.models import Decision, RewardSignal, ServingState
from privacy.selectors.keys import ciphers_known
from tests.privacy.services.sealed import outcome_of, state_values
remembered = []
for row in ServingState.objects.order_by("person_id"):
    plain = ciphers_known([row.person_id])[row.person_id].open(row.memory, about_memory(row.person_id, 1)) if row.memory else b""
    remembered.append(unpack_serving_state(row.loop.versions.get().spec, plain))
print(json.dumps({
    "left open": sum(state in bytes(d.state) for d in Decision.objects.all()),
    "states": sorted({tuple(state_values(d)) for d in Decision.objects.all()}),
    "outcomes": sorted({tuple(outcome_of(o)) for o in RewardSignal.objects.select_related("decision")}),
    "remembered": remembered, "width": width,
}))
"""


def test_what_was_kept_before_is_sealed_and_reads_as_before(tmp_path: Path) -> None:
    env = {**os.environ, "DATABASE_URL": "", "R3AL_VAR_DIR": str(tmp_path)}
    env["DJANGO_SETTINGS_MODULE"] = "r3al_project.settings"
    run = subprocess.run(
        [sys.executable, "-c", OLD_AND_NEW], cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    state = [i / 10 for i in range(told["width"])]
    assert told["left open"] == 0 and told["states"] == [state] and told["outcomes"] == [[i / 4 for i in range(7)]]
    assert told["remembered"] == [[state, state], [state, None], [None, None]]
