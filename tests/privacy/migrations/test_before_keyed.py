"""A database that version 0.4.0 filled: everybody and everything in it is found again by today's digests.

``before_keyed/`` holds its rows and what its services answered: ann was served, heard and rewarded, cat is in a file, ben is
erased.
"""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.system import ROOT

pytestmark = pytest.mark.embedded  # it has a database of its own
OLD = Path(__file__).parent / "before_keyed"
# Runs in a process of its own, on the old rows.
NEW = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.test import Client
from knox.models import AuthToken
from loops.selectors import loop_version_current
from privacy.models import Decision, Person, PrivacyBudget, ServedDecision
from privacy.services.people.authentication import Caller
from privacy.services.records.import_file import signals_import
from privacy.services.people.erasure import tombstones, tombstones_replay
from privacy.services.people.export import vault_events_of
from privacy.services.records.rewards import RewardInput, reward_add
from privacy.services.people.identity import people_get_or_create
from privacy.services.records.signals import SignalInput, signals_add
from privacy.services.vault.verify import vault_verify
from tests.r3al_project.api.api_calls import ask
old = json.loads(Path(sys.argv[1]).read_text())
file = Path(sys.argv[2]) / "old.csv"
file.write_text(old["file"])
loop, people, told = loop_version_current("care"), old["people"], {}
walk = vault_verify()
told["vault"] = [walk.events, walk.decisions, walk.erased, walk.head, walk.broken]
told["ann's events"] = sorted(e.kind for e in vault_events_of(Person.objects.get(pk=people["ann"])))
told["population"] = loop.spec.population
ben = Person.objects.get(pk=people["ben"])
told["remembered"] = ben.last_erased_at == ben.erased_at and ben.erased_at is not None
told["known"] = people_get_or_create(population="care", identifiers=["ann", "cat"])
told["tombstones"] = tombstones()
AuthToken.objects.update(expiry=None)
told["answer"] = ask(old["token"], "r1").content.decode()
told["heard"] = signals_add(loop_version=loop, person_id=people["ann"],
    signals=[SignalInput("s1", "pulse", datetime(2025, 1, 2, tzinfo=UTC), {"mood": 0.5})]).unchanged
served = ServedDecision.objects.get(person_id=people["ann"])
told["new word"] = reward_add(caller=Caller(1, people["ann"], False), public_id=served.public_id, user_id=None,
    reward=RewardInput("w1", total=0.25)).new
before = Decision.objects.count()
import_it = lambda: signals_import(path=file, loop_version=loop, consents=[], rejects_path=file.with_suffix(".rejects"))
again = import_it()
told["imported"] = [again.added, again.unchanged, again.rejected, Decision.objects.count() - before]
people_get_or_create(population="care", identifiers=["ben"])
back = Person.objects.get(pk=people["ben"])
budget = PrivacyBudget.objects.get(pk=people["ben"])
told["ben"] = [back.erased_at is None, budget.spent_lifetime, budget.rho_spent, budget.consent_mask, Person.objects.count()]
# A backup from before the erasure: ben is there as he was, and the list that was kept names him.
Person.objects.filter(pk=people["ben"]).update(created_at=datetime(2020, 1, 1, tzinfo=UTC))
told["replayed"] = tombstones_replay(old["tombstones"], source="test")
print(json.dumps(told))
"""


def test_all_of_it_is_found_again(tmp_path: Path) -> None:
    old = json.loads((OLD / "facts.json").read_text())
    told = _by_todays_code(tmp_path)
    events, decisions, erased, head = old["vault"]
    assert told["vault"] == [events, decisions, erased, head, ""], "every sealed event and leaf verifies"
    assert told["ann's events"] == ["consent"] * 3
    assert told["population"] == "care", "a loop without a population had its own name, and keeps it"
    assert told["remembered"], "when somebody was erased"
    assert told["known"] == {name: old["people"][name] for name in ("ann", "cat")}
    assert told["tombstones"] == old["tombstones"]
    assert told["answer"] == old["answer"], "a retry gets the first answer"
    assert told["heard"] == 1 and told["new word"] is False
    assert told["imported"] == [0, 6, 3, 0], "the rows of ann and cat are there already; those of ben do not come back"
    assert told["ben"] == [True, 123456, 789, 0, 3], "ben is nobody new: he has the budget that he had left"
    assert told["replayed"] == 1


def _by_todays_code(tmp_path: Path) -> dict[str, Any]:
    database = sqlite3.connect(tmp_path / "r3al.sqlite3")
    database.executescript(gzip.decompress((OLD / "rows.sql.gz").read_bytes()).decode())
    database.close()
    secrets = {
        "SECRET_KEY": "secret-key-of-the-tests-and-of-nothing-else",
        "ANONYMIZATION_SALT": "salt-of-the-tests-and-of-nothing-else",
        "DATA_MASTER_KEYS": "1:master-key-of-the-tests-and-of-nothing-else",
    }
    env = {
        **os.environ,
        **secrets,
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "R3AL_VAR_DIR": str(tmp_path),
        "HTTPS": "false",
    }
    env |= {"DJANGO_SETTINGS_MODULE": "r3al_project.settings", "ALLOWED_HOSTS": "testserver"}
    command = [sys.executable, "-c", NEW, str(OLD / "facts.json"), str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stderr
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told
