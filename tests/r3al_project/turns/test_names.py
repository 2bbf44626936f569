"""A turn that imports a file keeps neither its name nor its path, because a file's name may name a person."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from core.errors import InputError
from jobs.models import Job
from privacy.models import VaultEvent
from r3al_project.turns.models import Turn, TurnStage
from r3al_project.turns.services import turn_parameters
from r3al_project.turns.stages import collect
from tests.factories.care import care_loop
from tests.factories.vault_world import HEADER

NAME = "anna-schmidt"


def everything() -> str:
    return str([list(model.objects.values()) for model in (Turn, TurnStage, Job, VaultEvent)])


@pytest.mark.django_db
def test_the_record_of_a_stage_names_no_file_and_counts_roughly(tmp_path: Path) -> None:
    loop, path = care_loop(), tmp_path / f"{NAME}.csv"
    rows = [f"p{n},2026-01-01T09:00:00Z,0.{n},home,0.5,wait,0.5,,,0.5,fine" for n in range(3)]
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    parameters: dict[str, Any] = turn_parameters(source=path, consents=["training"])
    turn = Turn.objects.create(loop=loop.loop, loop_version=loop, parameters=parameters)
    summary = collect(turn, SimpleNamespace(progress=lambda *_: None))()  # type: ignore[arg-type]
    assert NAME not in str(summary) and (summary["rows"], summary["added"], summary["rejected"]) == (10, 10, 0)


@pytest.mark.django_db(transaction=True)
def test_a_turn_that_failed_forgets_the_file_too(tmp_path: Path) -> None:
    care_loop()
    path = tmp_path / f"{NAME}.csv"
    path.write_text("who\nann\n")
    with pytest.raises((InputError, Exception)):
        call_command("run_loop", "--loop", "care", "--source", str(path))
    turn = Turn.objects.get()
    assert turn.outcome == Turn.Outcome.FAILED and turn.reason.startswith("collect: ") and "the file" in turn.reason
    assert "source" not in turn.parameters and NAME not in everything()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rows", [1, 7])
def test_a_turn_that_failed_counts_the_rows_of_its_file_roughly(tmp_path: Path, rows: int) -> None:
    """Of a file about one person, the exact numbers would be about that person for ever."""
    care_loop()
    path = tmp_path / "log.csv"
    path.write_text("\n".join([HEADER, *["ann,yesterday,0.1,home,0.5,wait,0.5,,,0.5,fine"] * rows]) + "\n")
    with pytest.raises(CommandError):
        call_command("run_loop", "--loop", "care", "--source", str(path))
    said = "none of about 10 rows of the file can be used: bad_time (about 10); see"
    assert said in Turn.objects.get().reason and said in Job.objects.exclude(error="").get().error
