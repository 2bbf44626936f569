"""``manage.py anonymize``: where the result goes is settled before anybody is charged, and the key is always told."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from loops.models import LoopVersion
from privacy.models import Release
from privacy.services.anonymize.run import anonymize_begin, release_key
from tests.factories.anonymize import CENTRAL, LOCAL, PEOPLE, make_world, spent

pytestmark = pytest.mark.django_db
ROWS = ("--technique", "pseudonymization")


@pytest.fixture(scope="module")
def made(rows_of_module: None) -> LoopVersion:
    return make_world()


@pytest.fixture
def world(made: LoopVersion, settings: Any) -> LoopVersion:
    settings.MIN_COHORT = 10
    return made


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("anonymize", "--loop", "rows", *arguments, stdout=out)
    return out.getvalue()


def rows_in(path: Path) -> int:
    with path.open() as file:
        return len(list(csv.DictReader(file)))


class TestOutput:
    def test_rows_go_into_a_new_file_and_nothing_else_stays_beside_it(self, world: LoopVersion, tmp_path: Path) -> None:
        assert run(*ROWS, "--output", str(tmp_path / "rows.csv")) == ""
        assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"] and rows_in(tmp_path / "rows.csv") == PEOPLE

    def test_statistics_go_there_as_json(self, world: LoopVersion, tmp_path: Path) -> None:
        told = json.loads(run("--json", "--output", str(tmp_path / "told.json")))
        assert told["technique"] == "differential_privacy"
        assert set(json.loads((tmp_path / "told.json").read_text())["columns"]) == {"mood", "place"}

    def test_an_existing_file_is_left_alone_and_nobody_is_charged(self, world: LoopVersion, tmp_path: Path) -> None:
        (tmp_path / "rows.csv").write_text("mine")
        with pytest.raises(CommandError, match="exists already"):
            run(*ROWS, "--output", str(tmp_path / "rows.csv"))
        assert (tmp_path / "rows.csv").read_text() == "mine" and spent() == (0, 0) and not Release.objects.exists()

    @pytest.mark.parametrize("name", ["no/such/rows.csv", "a-file/rows.csv"])
    def test_a_folder_that_is_none_charges_nobody(self, world: LoopVersion, tmp_path: Path, name: str) -> None:
        (tmp_path / "a-file").write_text("")
        with pytest.raises(CommandError, match="there is no folder"):
            run(*ROWS, "--output", str(tmp_path / name))
        assert spent() == (0, 0) and not Release.objects.exists()

    def test_a_failure_leaves_no_file(self, world: LoopVersion, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="at least 500"):
            run("--technique", "k_anonymity", "--k", "500", "--output", str(tmp_path / "rows.csv"))
        assert list(tmp_path.iterdir()) == [] and spent() == (0, 0)

    def test_a_name_taken_meanwhile_keeps_the_release_and_the_other_file(
        self, world: LoopVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "rows.csv"
        monkeypatch.setattr(
            "privacy.management.commands.anonymize._write_result", lambda release, out: path.write_text("theirs")
        )
        with pytest.raises(CommandError, match="meanwhile"):
            run(*ROWS, "--key", "one", "--output", str(path))
        monkeypatch.undo()
        assert path.read_text() == "theirs" and Release.objects.get().state == "committed"
        run(*ROWS, "--key", "one", "--output", str(tmp_path / "other.csv"))
        assert rows_in(tmp_path / "other.csv") == PEOPLE and Release.objects.count() == 1


def test_a_preview_is_json_for_who_asks(world: LoopVersion) -> None:
    told = json.loads(run("--preview", "--json"))
    assert set(told) == {
        "policy_units", "formal_epsilon", "formal_delta", "guarantee", "people", "least_people", "warning"
    }  # fmt: skip
    assert [line.partition(": ")[0] for line in run("--preview").splitlines()] == list(told)
    assert told["formal_epsilon"] == 0.5 and not Release.objects.exists()


class TestKey:
    def test_the_key_is_told_before_the_work_and_finishes_what_was_interrupted(
        self, world: LoopVersion, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run()
        first, _ = capsys.readouterr().err.splitlines()
        key = first.removeprefix("key: ").split()[0]
        assert Release.objects.get().key == release_key(key)
        anonymize_begin(key="killed", loop_version=world, request=LOCAL)  # and then its process was killed
        before = spent()
        run("--mode", "local", "--epsilon", "1", "--key", "killed")
        assert Release.objects.get(key=release_key("killed")).state == "committed" and spent() == before
        assert LOCAL.epsilon == CENTRAL.epsilon == 1.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*ROWS, "--epsilon", "0.5"), "--epsilon belongs to differential_privacy"),
        (("--technique", "k_anonymity", "--delta", "1e-6"), "--delta belongs to differential_privacy"),
        (("--technique", "generalization", "--k", "5"), "--k belongs to k_anonymity"),
        (("--technique", "generalization", "--mode", "local"), "--mode belongs to differential_privacy"),
        (("--epoch", "spring"), "--epoch belongs to pseudonymization"),
        (("--mode", "local", "--delta", "1e-6"), "--delta belongs to mode central"),
        (("--rows", "3"), "--rows applies to techniques that release rows"),
        (("--delta", "0.3"), "MAX_PRIVACY_DELTA"),
        (("--samples", "0"), "sampleCount"),
    ],
)
def test_an_option_that_would_not_be_heeded_is_refused(
    world: LoopVersion, arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(CommandError, match=said):
        run(*arguments)
    assert spent() == (0, 0)
