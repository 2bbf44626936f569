"""``manage.py demo``: it never adds simulated people or an account to a database that somebody uses."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import override_settings

from loops.models import Loop
from privacy.models import Consent, Person
from r3al_project.ops import demo
from r3al_project.turns.models import Turn

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("R3AL_RUN_PY", raising=False)


def test_by_hand_it_refuses_a_prepared_database_and_writes_nothing(tmp_path: Path) -> None:
    assert demo.is_prepared()
    with override_settings(VAR_DIR=tmp_path), pytest.raises(CommandError) as refused:
        call_command("demo", "--users", "10")
    said = str(refused.value)
    assert "run `python3 run.py demo`" in said and "\n" not in said and refused.value.returncode == 1
    assert not any(model.objects.exists() for model in (User, Person, Consent, Turn, Loop))
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_any_table_is_fresh() -> None:
    from django.db import connection
    from django.db.migrations.recorder import MigrationRecorder

    MigrationRecorder(connection).migration_qs.all().delete()
    assert not demo.is_prepared()


def test_it_takes_no_option_that_it_does_not_read() -> None:
    with pytest.raises(CommandError, match="--keep"):
        call_command("demo", "--keep")
