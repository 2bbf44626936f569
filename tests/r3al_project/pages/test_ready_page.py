"""``/readyz`` and the front page say what is late."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from jobs.folder_broker import DROPPED
from jobs.models import PeriodicRun
from jobs.schedules import schedules_sync

pytestmark = pytest.mark.django_db


@pytest.fixture
def idle_for_an_hour() -> None:
    schedules_sync()
    PeriodicRun.objects.update(finished_at=timezone.now() - timedelta(hours=1))


def test_a_platform_that_works_is_ready_and_nothing_is_late(client: Client) -> None:
    schedules_sync()
    answer = client.get("/readyz")
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    assert (answer.json()["ready"], answer.json()["late"]) == (True, [])


def test_it_names_what_is_late_and_stays_ready(client: Client, idle_for_an_hour: None) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    due = {
        "health checks": 60,
        "rollouts": 60,
        "closing outcomes": 60,
        "sealing decisions": 60,
        "telling operators": 15,
    }
    assert {late["name"]: late["reason"] for late in answer.json()["late"]} == {
        name: f"it last finished 60 minutes ago, and is due every {seconds} seconds" for name, seconds in due.items()
    }


def test_it_counts_the_messages_that_could_not_be_read(client: Client, settings: Any, tmp_path: Path) -> None:
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"control_folder": str(tmp_path)}
    assert client.get("/readyz").json()["droppedMessages"] == 0
    (tmp_path / DROPPED).write_bytes(b"..")
    assert client.get("/readyz").json()["droppedMessages"] == 2
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {}
    assert client.get("/readyz").json()["droppedMessages"] == 0


@pytest.mark.embedded
@pytest.mark.django_db(transaction=True)
def test_it_is_not_ready_while_another_process_keeps_the_write_lock(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.database_writable._PATIENCE_MS", 50)
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as frozen:
        frozen.execute("BEGIN IMMEDIATE")
        answer = client.get("/readyz")
        frozen.execute("ROLLBACK")
    assert (answer.status_code, answer.json()["ready"]) == (503, False) and int(answer["Retry-After"]) > 0
    assert answer.json()["database"] == "another process has held the database's write lock for 0.05 seconds"
    assert (answer := client.get("/readyz")).status_code == 200 and answer.json()["database"] == ""


@pytest.mark.production
def test_it_is_not_ready_on_a_standby(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL transaction_read_only = on")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert answer.json()["database"] == "the database is read-only"


@pytest.mark.parametrize("page", ["admin:index", "front-page-fragment"])
def test_the_front_page_says_it_until_it_is_over(page: str, operator: Client, idle_for_an_hour: None) -> None:
    text = " ".join(operator.get(reverse(page)).content.decode().split())
    assert "Health checks:</span> it last finished 60 minutes ago" in text
    assert "Closing outcomes:</span>" in text and "Sealing decisions:</span>" in text
    PeriodicRun.objects.update(finished_at=timezone.now())
    assert 'id="fp-late"' not in operator.get(reverse(page)).content.decode()
