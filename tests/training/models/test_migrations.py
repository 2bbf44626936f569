"""A database whose turns made synthetic rows before tables could be asked for: the rows stay, with their lineage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

BEFORE, AFTER = [("training", "0002_samples_are_states")], [("training", "0003_tables_on_request")]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def forward_again() -> Iterator[None]:
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_rows_of_turns_stay_and_are_not_judged() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    old = executor.loader.project_state(BEFORE).apps
    version = old.get_model("loops", "Loop").objects.create(name="a").versions.create(version=1)
    release = old.get_model("privacy", "Release").objects.create(
        key="r",
        loop_version=version,
        purpose="training",
        technique="differential_privacy",
        mechanism="m",
        policy_cost=1,
    )
    made = old.get_model("training", "SyntheticJob").objects.create(
        release=release, generator="world_model", head="policy", sample_count=10, seed=1, summary={"rows": 20}
    )
    old.get_model("training", "TrainingDataPool").objects.create(
        loop_version=version, kind="synthetic", release=release, synthetic_job=made, index=0, rows=20, columns=["state"],
        data=b"x", data_sha256="y", expires_at=timezone.now(),
    )  # fmt: skip
    executor = MigrationExecutor(connection)
    executor.migrate(AFTER)
    found = executor.loader.project_state(AFTER).apps.get_model("training", "SyntheticJob").objects.get()
    assert (found.pk, found.head, found.sample_count, found.summary) == (made.pk, "policy", 10, {"rows": 20})
    assert (found.source, found.accepted, found.request_digest, found.checkpoint) == ("world", None, None, b"")
    assert bytes(found.chunks.get().data) == b"x"
