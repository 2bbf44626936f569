"""A database from before turns knew their loop: each gets it, and of two that ran at once in one loop the newer goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

JOBS = ("jobs", "0004_kept_answers_hold_no_secret")  # as they were then
BEFORE, AFTER = [("turns", "0002_permissions_an_action"), JOBS], [("turns", "0005_one_running_turn_a_loop"), JOBS]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def forward_again() -> Iterator[None]:
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def migrated(target: list[tuple[str, str]]) -> MigrationExecutor:
    executor = MigrationExecutor(connection)
    executor.migrate(target)
    return executor


def test_one_running_turn_a_loop_is_left() -> None:
    old = migrated(BEFORE).loader.project_state(BEFORE).apps
    loop, job = old.get_model("loops", "Loop"), old.get_model("jobs", "Job")
    turn, stage = old.get_model("turns", "Turn"), old.get_model("turns", "TurnStage")
    a, b = loop.objects.create(name="a"), loop.objects.create(name="b")
    versions = [a.versions.create(version=1), a.versions.create(version=2), b.versions.create(version=1)]
    running = [turn.objects.create(loop_version=version) for version in versions]
    ended = turn.objects.create(loop_version=versions[0], outcome="kept", finished_at=timezone.now())
    for one in running:
        stage.objects.create(turn=one, name="collect", job=job.objects.create(kind="turn.collect"))

    new = migrated(AFTER).loader.project_state(AFTER).apps
    found = new.get_model("turns", "Turn").objects.order_by("pk")
    assert list(found.values_list("pk", "loop__name", "outcome")) == [
        (running[0].pk, "a", "failed"), (running[1].pk, "a", "running"), (running[2].pk, "b", "running"),
        (ended.pk, "a", "kept"),
    ]  # fmt: skip
    assert "a newer turn" in found[0].reason
    states = found.exclude(pk=ended.pk).values_list("stages__job__state", flat=True)
    assert list(states) == ["cancelled", "queued", "queued"]
