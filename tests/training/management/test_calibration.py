"""``manage.py calibration``: the table for people, its last sentence, and the same as JSON."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from loops.models import LoopVersion
from tests.factories.calibration import estimated, gated, lived
from tests.factories.care import care_loop
from training.models import TRIAL_GATE

pytestmark = pytest.mark.django_db


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("calibration", *arguments, stdout=out)
    return out.getvalue()


def test_seven_of_eight_held_and_one_was_never_lived(loop: LoopVersion) -> None:
    for truth in (0.05, 0.15, 0.08, 0.12, 0.1, 0.03, 0.17, -0.2):
        lived(gated(loop, improvement=(0.1, 0.02, 0.18)), improvement=(truth, truth - 0.01, truth + 0.01), users=1_234)
    idle = gated(loop, improvement=(0.1, 0.02, 0.18))
    lines = run("--loop", "care").splitlines()
    assert lines[0].split() == ["version", "metric", "gate", "estimated", "lived", "result"]
    assert lines[1].startswith(f"care/policy {idle.name} ") and lines[1].endswith("not lived")
    assert "-0.2 (-0.21 to -0.19), about 1,200 people" in lines[2] and lines[2].endswith("contradicted")
    assert lines[-1] == "7 of 8 intervals held (47% to 100%)"


def test_a_gate_that_promises_too_much_is_told(loop: LoopVersion) -> None:
    for truth in (0.07, 0.05, 0.06, 0.04, 0.03, 0.08, 0.05):
        lived(gated(loop, improvement=(0.1, 0.02, 0.18)), improvement=(truth, truth - 0.01, truth + 0.01))
    text = run()
    assert "7 of 7 lived values were worse than estimated, on average 0.57 half-widths worse" in text
    assert "the gates promise too much" in text


def test_metrics_are_summarised_apart_when_there_are_several(loop: LoopVersion) -> None:
    version = gated(loop, improvement=(0.1, 0.02, 0.18), empathy=(0.9, 0.85, 0.95))
    estimated(version, "improvement", (0.05, 0.0, 0.1), source=TRIAL_GATE, users=438.9)
    lived(version, empathy=(0.9, 0.88, 0.92))
    text = run()
    assert "about 440 people of the trial" in text
    assert "empathy, outcome gate: 1 of 1 interval held (too few to tell)" in text


def test_as_json(loop: LoopVersion) -> None:
    version = lived(gated(loop, improvement=(0.1, 0.02, 0.18)), improvement=(0.05, None, 0.2))
    told = json.loads(run("--json"))
    (row,) = told["rows"]
    assert row["version"] == version.name and row["state"] == "too early" and row["users"] == 430
    assert row["lived"] == {"value": 0.05, "low": None, "high": 0.2}
    assert told["summary"]["intervals"] == 0 and told["summary"]["held_range"] is None


def test_without_a_claim_it_says_so(loop: LoopVersion) -> None:
    assert "No gate has estimated anything" in run()
    assert json.loads(run("--json"))["rows"] == []


def test_an_unknown_loop_is_refused(loop: LoopVersion) -> None:
    with pytest.raises(CommandError, match="lost"):
        run("--loop", "lost")
