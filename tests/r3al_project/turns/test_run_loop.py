"""``manage.py run_loop``: a turn in one process, told as JSON or as a page; bad values cost one sentence and nothing else."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Job
from privacy.models import Decision, Release
from r3al_project.turns.models import Turn
from r3al_project.turns.services import turn_parameters, turn_start
from r3al_project.turns.stages import STAGES
from tests.factories.walks import walks_csv, walks_file, walks_loop

CONSENTS = ["training", "evaluation"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """The walks loop and a file of it."""
    return str(walks_file(tmp_path)), str(walks_csv(tmp_path / "walks.csv"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Lines of standard output."""
    call_command("run_loop", *arguments, stdout=StringIO())
    return capsys.readouterr().out.splitlines()


@pytest.mark.django_db(transaction=True)
def test_a_whole_turn_as_json(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """The keys that a script may rely on. The walks are so clear that both gates pass (20 of 20 tries)."""
    loop, source = files
    told = json.loads(
        run(capsys, "--loop", loop, "--source", source, "--consent", *CONSENTS, "--seed", "3", "--json")[-1]
    )
    assert told["loop"] == "walks v1"
    assert [s["name"] for s in told["stages"]] == list(STAGES)
    assert all(s["seconds"] >= 0 and s["did"] for s in told["stages"])
    assert told["stages"][0]["did"]["added"] == 6_000
    release = told["release"]
    assert (release["epsilon"], release["delta"], release["unit"]) == (1.0, 1e-5, "user")
    assert isinstance(release["users"], int) and "differential privacy" in release["guarantee"]
    assert set(told["policy"]) >= {"value", "random", "reference", "best_known", "share", "kind"}
    assert told["policy"]["best_known"] is None, "nobody knows the best policy of real people"
    gate = told["gate"]
    assert gate["verdict"] in ("pass", "fail", "insufficient") and gate["reason"]
    assert gate["metrics"] and all(
        set(m) >= {"name", "value", "low", "high", "bar", "verdict"} for m in gate["metrics"]
    )
    serving = {"policy": told["version"] if gate["verdict"] == "pass" else None}
    assert isinstance(told["version"], int) and told["deployed"] == serving
    assert told["outcome"] == ("deployed" if gate["verdict"] == "pass" else "kept")


@pytest.mark.alone("embedded")
@pytest.mark.django_db(transaction=True)
def test_suggestions_that_harm_leave_the_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Suggesting costs 3 reward scales: a false deployment would take a noise of more than ten standard deviations."""
    source = str(walks_csv(tmp_path / "harm.csv", helps=False))
    lines = run(capsys, "--loop", str(walks_file(tmp_path)), "--source", source, "--consent", *CONSENTS)
    page = " ".join(" ".join(lines).split())
    assert "Deployed now: policy: the reference." in page
    assert "differential privacy" in page and "Gate:" in page
    assert all(f" {name} " in page for name in STAGES)
    assert Turn.objects.get().outcome == "kept"


@pytest.mark.django_db(transaction=True)
def test_what_the_vault_holds_and_an_empty_vault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walks_loop(tmp_path)
    with pytest.raises(CommandError, match=r"the turn failed: release: .*import signals first"):
        run(capsys, "--loop", "walks", "--json")
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["outcome"] == "failed" and told["version"] is None and told["deployed"] == {"policy": None}
    assert told["stages"][0]["did"] == {"note": "no file was given: the turn uses the records already stored"}
    assert Release.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_detach_only_queues(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    out = StringIO()
    call_command("run_loop", "--loop", files[0], "--source", files[1], "--consent", "training", "--detach", stdout=out)
    assert "is queued" in out.getvalue()
    assert list(Job.objects.values_list("kind", "state")) == [("turn.collect", "queued")]
    assert Decision.objects.count() == 0
    with pytest.raises(CommandError, match="still running; wait for it, resume it"):
        call_command("run_loop", "--loop", files[0])


@pytest.mark.django_db(transaction=True)
def test_resume_goes_on_with_a_turn_that_nobody_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = walks_loop(tmp_path)
    source = walks_csv(tmp_path / "few.csv", people=40, days=2)
    begun = turn_start(actor="ann", loop_version=version, parameters=turn_parameters(source=source, consents=CONSENTS))
    told = json.loads(run(capsys, "--loop", "walks", "--resume", "--json", "--watch")[-1])
    assert told["outcome"] in ("kept", "deployed")
    assert list(Turn.objects.values_list("pk", flat=True)) == [begun.pk]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--epsilon", "9"], "epsilon 9 is above the most one release may use, 1"),
        (["--epsilon", "0"], "epsilon is 0.*above 0"),
        (["--epsilon", "nan"], "epsilon is nan"),
        (["--delta", "0.0001"], "delta 0.0001 is above the most one release may have, 1e-05"),
        (["--seed", "-1"], "seed -1 must be a whole number"),
        (["--source", "no/such.csv"], "there is no file .*no/such.csv"),
        (["--consent", "training"], "give the file too"),
        (["--head", "tune"], "has no head 'tune'"),
        (["--resume"], "no turn of loop 'walks' is running"),
        (["--loop", "unheard-of"], "there is no loop 'unheard-of'"),
        (["--loop", "no/such.toml"], "there is no file no/such.toml"),
    ],
)
def test_a_bad_value_is_one_sentence_and_begins_nothing(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    walks_loop(tmp_path)
    with pytest.raises(CommandError, match=sentence) as error:
        call_command("run_loop", "--loop", "walks", *arguments)
    assert "\n" not in str(error.value)
    assert Turn.objects.count() == Job.objects.count() == 0


@pytest.mark.alone("embedded")
@pytest.mark.django_db(transaction=True)
def test_heartsteps_ends_with_a_verdict_and_numbers(shared_data: Path, capsys: pytest.CaptureFixture[Any]) -> None:
    """37 real people. Noise decides most of what is said of them; that they never deploy for certain is not promised."""
    source = str(shared_data / "heartsteps_v1_suggestions.csv")
    told = json.loads(run(capsys, "--loop", "heartsteps", "--source", source, "--consent", *CONSENTS, "--json")[-1])
    did = told["stages"][0]["did"]
    assert (did["rows"], did["added"], did["rejected"]) == (8_300, 8_300, 10)
    assert told["gate"]["verdict"] in ("pass", "fail", "insufficient") and told["gate"]["metrics"]
    assert told["policy"]["reference"] is not None and told["policy"]["random"] is not None
