"""The table of stages: one line adds a stage to turn, job, pages, API and report; a line without a part does not load."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from jobs import handlers
from jobs.handlers import kind_of
from privacy.models import Purpose
from r3al_project.api.answers.jobs import job_answer
from r3al_project.pages.front_page import turn_rows
from r3al_project.turns.models import TurnStage
from r3al_project.turns.report import print_report, turn_report
from r3al_project.turns.run_in_process import turn_run
from r3al_project.turns.services import turn_parameters, turn_start
from r3al_project.turns.stage_protocol import Stage
from r3al_project.turns.stages import STAGES, stage_sentence, stage_table
from r3al_project.turns.tasks import stage_register
from tests.factories.walks import walks_csv, walks_loop
from tests.r3al_project.turns.weigh import WEIGH, weigh

CONSENTS = [Purpose.TRAINING, Purpose.EVALUATION]


@pytest.fixture
def weighing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The table with one line more, between synthesizing and training."""
    before = list(STAGES.values())
    place = list(STAGES).index("train")
    monkeypatch.setattr(handlers, "_KINDS", dict(handlers._KINDS))
    STAGES.clear()
    STAGES.update(stage_table(*before[:place], WEIGH, *before[place:]))
    stage_register(WEIGH)
    yield
    STAGES.clear()
    STAGES.update(stage_table(*before))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("weighing")
def test_a_line_in_the_table_is_a_stage_everywhere(tmp_path: Path) -> None:
    source = walks_csv(tmp_path / "1.csv", people=100, days=2)
    started = turn_start(
        actor="ann", loop_version=walks_loop(tmp_path), parameters=turn_parameters(source=source, consents=CONSENTS)
    )
    turn = turn_run(started, say=lambda text: None)
    assert turn.outcome in ("kept", "deployed"), turn.reason

    stage = TurnStage.objects.get(turn=turn, name="weigh")
    said = f"The pool weighs {stage.summary['bytes']:,} bytes."
    assert stage.summary["chunks"] >= 1 and stage.job.kind == "turn.weigh" and kind_of("turn.weigh").queue == "monitor"
    names = ["collect", "release", "synthesize", "weigh", "train", "evaluate", "deploy"]
    assert list(turn.stages.order_by("id").values_list("name", flat=True)) == names
    (row,) = turn_rows()
    assert [(s["name"], s["text"]) for s in row["stages"]][3] == ("weigh", said) and len(row["stages"]) == 7
    told = job_answer(stage.job)
    assert told["progress"] == 1.0 and told["stages"][3]["did"] == said
    out = StringIO()
    print_report(turn_report(turn, seconds=1.0), out)
    assert f"chunks {stage.summary['chunks']}, bytes" in " ".join(out.getvalue().split())


PARTS: dict[str, Any] = {
    "name": "weigh", "queue": "monitor", "run": weigh, "sentence": lambda s: "Weighed.", "brief": ("bytes",),
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_line_without_one_of_its_parts_does_not_load(part: str) -> None:
    with pytest.raises(TypeError, match=part):
        Stage(**{name: value for name, value in PARTS.items() if name != part})


@pytest.mark.parametrize(
    ("part", "value"), [("queue", "weights"), ("run", None), ("sentence", None), ("brief", ()), ("name", "a scale")]
)
def test_nor_does_a_line_with_a_part_that_cannot_be_used(part: str, value: Any) -> None:
    with pytest.raises(ValueError, match="stage"):
        stage_table(Stage(**PARTS | {part: value}))


def test_nor_do_two_stages_of_one_name_or_a_name_that_its_column_cannot_hold() -> None:
    with pytest.raises(ValueError, match="two entries"):
        stage_table(*STAGES.values(), Stage(**PARTS | {"name": "train"}))
    with pytest.raises(ValueError, match="at most 12"):
        stage_table(Stage(**PARTS | {"name": "weigh_the_pool"}))


def test_a_stage_of_another_version_of_this_software_has_no_sentence() -> None:
    assert stage_sentence("weigh", {"bytes": 7}) == ""
