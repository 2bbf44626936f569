"""The report of a turn: it tells what this turn read and paid for, and repeats nothing of an earlier one."""

from __future__ import annotations

import json
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from deployments.services.rollouts.trial import trial_start
from loops.models import LoopVersion
from privacy.engine.dp.accounting import epsilon_of_account
from privacy.models import PrivacyBudget
from privacy.services.records.import_file import signals_import
from r3al_project.turns.models import Turn
from r3al_project.turns.report import turn_report_write
from tests.factories.trial_walks import CONSENTS, WITH_ENERGY, everybody_judges, lived, run, walker
from tests.factories.walks import walks_csv
from training.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)


def as_json(turn: Turn) -> dict[str, Any]:
    out = StringIO()
    turn_report_write(turn, seconds=1.0, as_json=True, out=out)
    told: dict[str, Any] = json.loads(out.getvalue())
    return told


def as_text(turn: Turn) -> str:
    out = StringIO()
    turn_report_write(turn, seconds=1.0, as_json=False, out=out)
    return " ".join(out.getvalue().split())


def most_paid() -> float:
    """The epsilon of the largest account, at the delta of the turns."""
    return epsilon_of_account(max(PrivacyBudget.objects.values_list("rho_spent", flat=True)), 1e-5)


@pytest.fixture
def trained(tmp_path: Path) -> tuple[LoopVersion, ModelVersion, Turn]:
    """The loop with a version on trial, after a turn that trained and read the trial."""
    loop = everybody_judges(tmp_path)
    signals_import(path=walks_csv(tmp_path / "1.csv", people=100, days=2), loop_version=loop, consents=CONSENTS)
    version = walker(loop, WITH_ENERGY)
    trial_start(version=version, actor="turn 1", reason="undecided")
    later = lived(loop, tmp_path / "2.csv", people=60, days=1, first=date(2025, 7, 1))
    return loop, version, run(loop, source=later, consents=CONSENTS)


@pytest.mark.alone("embedded")
def test_a_turn_that_trains_and_judges_names_both_releases(trained: tuple[LoopVersion, ModelVersion, Turn]) -> None:
    _, _, first = trained
    told = as_json(first)
    assert [made["of"] for made in told["charged"]] == ["the moments for training", "the trial"]
    assert all(0.5 < made["epsilon"] < 1.0 for made in told["charged"]), "each is a part of the turn"
    assert told["release"]["epsilon"] == told["charged"][0]["epsilon"]
    page = as_text(first)
    assert "Released the moments for training of about" in page and "Released the trial of about" in page
    assert told["paid"] == first.stages.get(name="evaluate").summary["loop"] and told["paid"]["releases"] == 3
    trained_only = first.stages.get(name="release").summary["loop"]
    assert trained_only["releases"] == 2 and trained_only["epsilon"] < told["paid"]["epsilon"], "the trial is paid, too"
    assert most_paid() <= told["paid"]["epsilon"] and most_paid() <= 1.0 + 1e-9, "within the turn's own epsilon"
    assert "For all 3 releases of this loop so far, one person can have paid at most epsilon" in page
    assert f", exploration {told['stages'][-1]['did']['exploration']:.0%}" in page


@pytest.mark.alone("embedded")
def test_a_turn_that_only_reads_a_trial_states_its_own_epsilon_and_no_older_number(
    trained: tuple[LoopVersion, ModelVersion, Turn], tmp_path: Path
) -> None:
    loop, version, first = trained
    before = as_json(first)
    PrivacyBudget.objects.update(spent_day=0)
    news = lived(loop, tmp_path / "3.csv", people=60, days=1, first=date(2025, 7, 2))
    turn = run(loop, source=news, consents=CONSENTS)
    told = as_json(turn)
    (charged,) = told["charged"]
    assert (charged["of"], charged["epsilon"], charged["delta"]) == ("the trial", 1.0, 1e-5)
    assert told["release"] == dict.fromkeys(("epsilon", "delta", "unit", "users", "guarantee"))
    assert told["paid"]["releases"] == 4 and told["paid"]["epsilon"] > before["paid"]["epsilon"]
    assert told["paid"]["epsilon"] >= most_paid()
    assert told["policy"]["kind"] == "none", "its estimates are those of the earlier turn"
    page = as_text(turn)
    assert f"Trial of {version.name}: insufficient evidence." in page and "Released the moments" not in page
    assert before["release"]["guarantee"] not in page and f"users {before['release']['users']}" not in page
    assert f"train {told['stages'][3]['seconds']:.2f} s of turn {first.pk}" in page
    assert "Nobody was charged for training" in page


@pytest.mark.alone("embedded")
def test_a_turn_that_charges_nobody_says_so(trained: tuple[LoopVersion, ModelVersion, Turn]) -> None:
    loop, _, _ = trained
    turn = run(loop)
    assert as_json(turn)["charged"] == [] and "Nobody was charged. " in as_text(turn)
