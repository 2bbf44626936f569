"""A turn charges the people whose decisions it can use and nobody else, and says so where there are none."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import R3alError
from loops.models import LoopVersion
from privacy.models import Decision, LedgerEntry, Person, PrivacyBudget, Purpose, Release, ReleaseState, RewardSignal
from privacy.selectors.decisions import training_folds
from privacy.services.records.import_file import signals_import
from privacy.services.releases.moments import moments_release
from r3al_project.turns.add_loop import loop_add_file
from r3al_project.turns.models import Turn
from r3al_project.turns.run_in_process import turn_run
from r3al_project.turns.services import turn_parameters, turn_start
from tests.factories.walks import COLUMNS, TOML, walks_csv

pytestmark = pytest.mark.django_db(transaction=True)
Row = dict[str, str]


def loop(folder: Path) -> LoopVersion:
    """The walks, with rows that may be unavailable, and without a reward for silence."""
    text = TOML.replace("default = 0.0\n", 'harmful_labels = ["bad"]\n')
    text = text.replace('time = "at"\n', 'time = "at"\navailable = "free"\nlabel = "answer"\n')
    path = folder / "walks.toml"
    path.write_text(text, encoding="utf-8")
    return loop_add_file(path)[0]


def log(folder: Path, change: Callable[[int, Row], Row], people: int = 60) -> Path:
    """The walks as an app logged them, with each person's rows changed."""
    with walks_csv(folder / "plain.csv", people=people, days=3).open(encoding="utf-8") as file:
        rows = [r | {"free": "1", "answer": ""} for r in csv.DictReader(file)]
    with (folder / "log.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*COLUMNS, "free", "answer"])
        writer.writeheader()
        writer.writerows(r | change(int(r["who"][1:]), r) for r in rows)
    return folder / "log.csv"


def run(version: LoopVersion, source: Path) -> Turn:
    consents = [Purpose.TRAINING, Purpose.EVALUATION]
    return turn_run(
        turn_start(actor="ann", loop_version=version, parameters=turn_parameters(source=source, consents=consents)),
        say=lambda text: None,
    )


NOTHING: dict[str, Callable[[int, Row], Row]] = {
    "everybody was unavailable": lambda person, row: {"free": "0"},
    "nobody has an outcome": lambda person, row: {"felt": ""},
    "nine people have one": lambda person, row: {} if person < 9 else {"felt": ""},
}


@pytest.mark.parametrize("change", NOTHING.values(), ids=NOTHING.keys())
def test_where_too_little_is_usable_nobody_is_charged_and_the_turn_says_so(
    tmp_path: Path, change: Callable[[int, Row], Row]
) -> None:
    turn = run(loop(tmp_path), log(tmp_path, change))
    assert turn.outcome == "failed"
    assert "usable records" in turn.reason or "record that it can use" in turn.reason
    assert not Release.objects.exists() and not LedgerEntry.objects.exists()
    assert not PrivacyBudget.objects.exclude(spent_lifetime=0).exists()
    assert Decision.objects.count() == 60 * 6


def test_where_outcomes_hold_a_label_alone_nobody_is_charged(tmp_path: Path) -> None:
    turn = run(loop(tmp_path), log(tmp_path, lambda person, row: {"felt": "", "answer": "bad"}))
    assert turn.outcome == "failed" and "has a record that it can use" in turn.reason
    assert RewardSignal.objects.filter(has_reward=False).count() == 60 * 6
    assert not Release.objects.exists() and not LedgerEntry.objects.exists()


def test_where_old_outcomes_do_not_say_that_they_hold_no_reward_everybody_is_refunded(tmp_path: Path) -> None:
    """Only opening such an outcome tells, hence after the charge."""
    version = loop(tmp_path)
    source = log(tmp_path, lambda person, row: {"felt": "", "answer": "bad"})
    signals_import(path=source, loop_version=version, consents=list(Purpose))
    RewardSignal.objects.update(has_reward=None)
    turn = turn_run(turn_start(actor="ann", loop_version=version, parameters=turn_parameters()), say=lambda text: None)
    assert (
        turn.outcome == "failed" and "have a decision with an observed reward, so everybody was refunded" in turn.reason
    )
    assert Release.objects.get().state == ReleaseState.REFUNDED
    assert not PrivacyBudget.objects.exclude(spent_lifetime=0, rho_spent=0).exists()


def test_people_without_a_usable_decision_are_not_charged(tmp_path: Path) -> None:
    """Of every four people one was never available, one never answered, and one answered at one decision."""

    def change(person: int, row: Row) -> Row:
        return ({}, {"free": "0"}, {"felt": ""}, {} if row["at"].startswith("2025-03-03T09") else {"felt": ""})[
            person % 4
        ]

    version = loop(tmp_path)
    turn = run(version, log(tmp_path, change, people=240))
    assert turn.outcome != "failed", turn.reason
    charged = set(LedgerEntry.objects.values_list("person_id", flat=True))
    usable = Decision.objects.filter(available=True, outcome__isnull=False)
    low, high = training_folds(version.spec)
    training = usable.filter(person__fold__gte=low, person__fold__lt=high)
    assert set(training.values_list("person_id", flat=True)) <= charged, "everybody whose decisions train"
    assert charged <= set(usable.values_list("person_id", flat=True)), "and nobody without a usable decision"
    assert usable.values("person_id").distinct().count() == 120 and Person.objects.count() == 240


def test_people_without_a_new_outcome_are_not_charged_again(tmp_path: Path) -> None:
    version = loop(tmp_path)
    run(version, log(tmp_path, lambda person, row: {}, people=120))
    before = LedgerEntry.objects.count()
    with pytest.raises(R3alError, match="has a record that it can use, so nobody was charged"):
        moments_release(
            key="again", loop_version=version, epsilon=1.0, delta=1e-5, explored_share=1.0, report=lambda *_: None
        )
    assert LedgerEntry.objects.count() == before and not Release.objects.filter(key="again").exists()
