"""A turn's release is a source: rows are drawn from its world model, whatever method then learns from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.services import job_run
from loops.models import LoopVersion
from privacy.models import LedgerEntry, Purpose, Release
from r3al_project.turns.services import turn_parameters, turn_start
from tests.factories.synthetic import synthesized
from tests.factories.walks import walks_csv, walks_loop
from training.models import TrainingDataPool
from training.selectors.synthetic import synthetic_tables
from training.services.synthetic.requests import SynthesizeRequest

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.alone("embedded")]


@pytest.fixture
def loop(tmp_path: Path, settings: Any) -> LoopVersion:
    """The walks loop with a turn's release."""
    settings.MIN_COHORT = 10
    parameters = turn_parameters(
        source=walks_csv(tmp_path / "walks.csv", people=600, days=2), consents=[Purpose.TRAINING, Purpose.EVALUATION]
    )
    version = walks_loop(tmp_path)
    turn = turn_start(actor="ann", loop_version=version, parameters=parameters)
    for stage in ("collect", "release"):
        job_run(turn.stages.get(name=stage).job_id)
    return version


def test_the_newest_usable_release_is_taken_and_nobody_is_charged_again(loop: LoopVersion) -> None:
    release, charged = Release.objects.get(), LedgerEntry.objects.count()
    made = synthesized(loop, SynthesizeRequest("mixture", samples=700, source_rows=1_000, threshold=0.0))
    assert made.state == "done" and made.accepted is True, (made.error, made.failures)
    assert made.release == release and made.source == "world" and LedgerEntry.objects.count() == charged
    (table,) = synthetic_tables(made)
    assert table.rows == 700 == TrainingDataPool.objects.get().rows
    assert {"state energy", "state daypart", "action", "reward"} <= set(table.schema.names)
    energy, suggested = table.columns["state energy"], table.columns["action"] == 1
    assert energy.min() >= 0 and energy.max() <= 1 and 0.3 < suggested.mean() < 0.7, "as the loop logs actions"
    reward = table.columns["reward"]
    tired, awake = suggested & (energy < 0.3), suggested & (energy > 0.7)
    assert reward[awake].mean() > reward[tired].mean(), "a walk tires who has no energy"
