"""``manage.py synthesize``: a table in this process, its files whole or not there, and exit codes that scripts can read."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from core.progress import ReportProgress
from jobs.models import Job
from loops.models import LoopVersion
from tests.factories.anonymize import make_world
from tests.factories.synthetic import marginals_released
from training.management.commands import synthesize as command
from training.models import SyntheticJob, TrainingDataPool
from training.services.synthetic import generate

pytestmark = pytest.mark.django_db(transaction=True)
ASKED = ("--loop", "rows", "--method", "mixture", "--samples", "300", "--source-rows", "1200", "--threshold", "0")


@pytest.fixture(autouse=True)
def world(settings: Any) -> LoopVersion:
    settings.MIN_COHORT = 10
    version = make_world()
    marginals_released(version)
    return version


def synthesize(*options: str) -> str:
    out = io.StringIO()
    call_command("synthesize", *ASKED, *options, stdout=out)
    return out.getvalue()


def test_it_writes_rows_and_report_and_tells_the_scores(tmp_path: Path) -> None:
    rows, report = tmp_path / "rows.csv", tmp_path / "report.html"
    told = synthesize("--output", str(rows), "--report", str(report))
    assert "300 rows by mixture" in told and re.search(r"quality: [01]\.\d{3}", told) and "privacy: " in told
    lines = rows.read_text().splitlines()
    assert len(lines) == 301 and lines[0] == "mood,place" and "<script" not in report.read_text()
    again = json.loads(synthesize("--json"))
    assert again["accepted"] is True and again["rows"] == 300 and again["status"] == "done"
    assert SyntheticJob.objects.count() == Job.objects.count() == 1, "an equal request is the same job"


def test_below_the_threshold_the_exit_code_is_3_and_no_rows_are_written(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    few = ("--samples", "10")  # ten rows reach a part of the variety at most
    with pytest.raises(CommandError, match=r"kept no rows: .* is .*below 1") as refused:
        synthesize("--threshold", "1", *few, "--output", str(rows))
    assert refused.value.returncode == 3 and not rows.exists() and not TrainingDataPool.objects.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--samples", "0"), "sampleCount is 0"),
        (("--source-rows", "0"), "sourceDataCount is 0"),
        (("--threshold", "2"), "qualityThreshold is 2"),
        (("--release", "99"), "there is no release 99"),
        (("--loop", "nowhere"), "there is no loop 'nowhere'"),
        (("--method", "magic"), "invalid choice: 'magic'"),
        (("--output", "/nowhere/rows.csv"), "there is no folder /nowhere"),
    ],
)
def test_a_wrong_option_is_one_error_and_nothing_is_written(options: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        synthesize(*options)
    assert not SyntheticJob.objects.exists() and not Job.objects.exists()


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    taken = tmp_path / "rows.csv"
    taken.write_text("mine")
    with pytest.raises(CommandError, match="exists already"):
        synthesize("--output", str(taken))
    assert taken.read_text() == "mine" and not SyntheticJob.objects.exists()
    synthesize("--output", str(taken), "--force")
    assert taken.read_text().startswith("mood,place")


def test_ctrl_c_cancels_the_job_and_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interrupt is raised where the command waits. A signal to the process of the tests could hit any other line."""
    scoring = threading.Event()

    def interrupted(*arguments: Any, report: ReportProgress, **names: Any) -> Any:
        scoring.set()
        while True:  # until the report of progress says that it was cancelled
            report(0.5, "scoring")
            time.sleep(0.05)

    def follow(job: Job, thread: threading.Thread) -> None:
        assert scoring.wait(60)
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "score", interrupted)
    monkeypatch.setattr(command, "_follow", follow)
    with pytest.raises(CommandError, match="was cancelled by a terminal and wrote nothing"):
        synthesize()
    made = SyntheticJob.objects.get()
    assert made.state == "cancelled" and made.accepted is None and not TrainingDataPool.objects.exists()
