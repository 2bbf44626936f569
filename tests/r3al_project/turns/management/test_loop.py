from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from deployments.models import ServingSlot
from loops.models import Loop, LoopVersion
from loops.selectors import loop_specs_builtin
from tests.factories.loop_files import SMALL, small

pytestmark = pytest.mark.django_db
R3AL = loop_specs_builtin()["r3al"]


def run(*arguments: object) -> str:
    out = StringIO()
    call_command("loop", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


class TestAdd:
    def test_keeps_the_loop_and_says_what_it_is(self, file: Path) -> None:
        said = run("add", file)
        assert said.startswith("small v1 added\n")
        assert "2 features, phi has 3 columns (4 with hinges)" in said
        assert "learned: mood" in said and "drift: place" in said
        assert "head policy: wait 0.7, speak 0.3; reference wait" in said
        assert "propensity in files: none, so the logging distribution holds" in said

    @pytest.mark.parametrize(
        ("keys", "words"),
        [
            ('propensity = "p"', "that of the action taken, in column 'p'"),
            ('propensity = "p"\npropensity_of = "speak"', "P(speak) in column 'p'"),
            ('propensities = { wait = "a", speak = "b" }', "P(wait) in column 'a', P(speak) in column 'b'"),
        ],
    )
    def test_says_what_a_file_holds_as_propensity(self, tmp_path: Path, keys: str, words: str) -> None:
        path = tmp_path / "small.toml"
        path.write_text(small(more=f"[import.csv.heads.policy]\n{keys}\n"))
        assert f"propensity in files: {words}" in run("add", path)

    def test_every_head_serves_its_reference_from_then_on(self) -> None:
        run("add", R3AL)
        slots = ServingSlot.objects.select_related("stable")
        assert {s.head for s in slots} == {"policy", "timing", "tone", "empathy"}
        assert {s.stable.kind for s in slots} == {"reference"}

    def test_the_same_file_again_changes_nothing(self, file: Path) -> None:
        run("add", file)
        before = list(ServingSlot.objects.values())
        assert "small v1 is already stored, unchanged" in run("add", file)
        assert list(ServingSlot.objects.values()) == before and LoopVersion.objects.count() == 1

    def test_a_changed_file_must_raise_its_version(self, file: Path) -> None:
        run("add", file)
        file.write_text(small(("scale = 0.5", "scale = 0.6")))
        with pytest.raises(CommandError, match=r"set version = 2 in .*small\.toml"):
            run("add", file)

    def test_a_wrong_file_leaves_nothing(self, file: Path) -> None:
        file.write_text(small(("[-1, 1]", "[1, -1]")))
        with pytest.raises(CommandError, match=r"features\.mood\.bounds = \[1, -1\]: expected two finite numbers"):
            run("add", file)
        assert not Loop.objects.exists() and not ServingSlot.objects.exists()

    def test_a_byte_order_mark_is_no_mistake(self, file: Path) -> None:
        file.write_text(SMALL, encoding="utf-8-sig")
        assert "small v1 added" in run("add", file)


class TestCheck:
    def test_says_what_the_loop_is_and_writes_nothing(self) -> None:
        said = run("check", R3AL)
        assert "r3al.toml is a valid loop file: r3al version 1" in said
        assert "8 features, phi has 11 columns (16 with hinges)" in said
        assert not Loop.objects.exists()

    def test_tells_every_problem(self, file: Path) -> None:
        file.write_text(small(("[-1, 1]", "[1, -1]"), ("per_day = 3", "per_day = 0")))
        with pytest.raises(CommandError, match=r"(?s)features\.mood\.bounds.*decisions_per_day"):
            run("check", file)


@pytest.mark.parametrize("verb", ["add", "check"])
class TestFilesThatCannotBeRead:
    def test_none(self, verb: str, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match=r"there is no file .*none\.toml"):
            run(verb, tmp_path / "none.toml")

    def test_a_folder(self, verb: str, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="cannot be read as text"):
            run(verb, tmp_path)

    def test_no_text(self, verb: str, file: Path) -> None:
        file.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(CommandError, match="cannot be read as text"):
            run(verb, file)


class TestList:
    def test_nothing_yet(self) -> None:
        assert run("list") == "there is no loop yet; add one with `manage.py loop add FILE`\n"

    def test_versions_and_what_serves(self, file: Path) -> None:
        run("add", file)
        run("add", R3AL)
        lines = run("list").splitlines()
        assert [line.split(":")[0] for line in lines] == ["r3al v1", "small v1"]
        assert "policy: the reference" in lines[1]
