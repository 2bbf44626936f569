"""Before anything of a file is stored, its propensities are checked against its actions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InputError
from loops.engine.spec import ImportHead
from privacy.models import Choice, Consent, Decision, Person, Purpose, SignalImport, VaultEvent
from privacy.services.records.import_file import ImportReport, signals_import
from tests.factories.diary import diary_version, points, write_csv

pytestmark = pytest.mark.django_db
POLICY_ALONE = {"policy": ImportHead("did", "p")}
DECLARED = {"policy": ImportHead("did")}


def drawn(path: Path, speak: float = 0.4, *, people: int = 40, seed: int = 1, **cells: str) -> Path:
    """Rows of which this share speaks. ``cells`` hold what is logged, with {p} and {ps} for the drawn probabilities."""
    rng, rows = np.random.default_rng(seed), []
    for person in range(people):
        for row in points(f"u{person}", 10):
            did = "speak" if rng.random() < speak else "wait"
            p = speak if did == "speak" else 1 - speak
            logged = {name: cell.format(p=p, ps=speak, percent=100 * p) for name, cell in cells.items()}
            rows.append(row | {"did": did, "p": f"{p}"} | logged)
    return write_csv(path, rows)


def imported(path: Path, heads: dict[str, ImportHead] | None = None, **options: Any) -> ImportReport:
    version = diary_version(heads=heads or POLICY_ALONE, explored=options.pop("explored", None))
    return signals_import(path=path, loop_version=version, consents=[Purpose.TRAINING], **options)


class TestRightPropensities:
    def test_are_reported_by_head_and_action(self, tmp_path: Path) -> None:
        report = imported(drawn(tmp_path / "log.csv"))
        found = [(m["head"], m["action"], m["among"], m["people"], m["finding"]) for m in report.propensities]
        assert found == [("policy", a, "logged", 40, "agrees") for a in ("wait", "speak")]
        assert len(report.findings) == 2 and not report.warnings and not report.override
        assert SignalImport.objects.get().propensities == report.propensities

    def test_are_those_declared_where_the_file_has_none(self, tmp_path: Path) -> None:
        report = imported(drawn(tmp_path / "log.csv"), DECLARED)
        assert [m["finding"] for m in report.propensities] == ["agrees", "agrees"]

    def test_may_be_percentages_with_a_transform(self, tmp_path: Path) -> None:
        heads = {"policy": ImportHead("did", "p", transforms={"p": "x / 100"})}
        imported(drawn(tmp_path / "log.csv", p="{percent}"), heads)
        assert {round(p, 9) for p in Choice.objects.values_list("propensity", flat=True)} == {0.4, 0.6}


class TestWrongPropensities:
    @pytest.mark.parametrize(
        ("logged", "heads", "said"),
        [
            ("{ps}", POLICY_ALONE, r'looks like P\(speak\) on every row.*say propensity_of = "speak"'),
            ("{p}", {"policy": ImportHead("did", "p", "wait")}, "a probability of the action taken; leave propensity_of"),
            ("{percent}", POLICY_ALONE, "10% of the available rows give no probability.*looks like a percentage.*x / 100"),
            ("0.111", POLICY_ALONE, "No usual convention gives 1|follow the declared logging"),
        ],
    )  # fmt: skip
    def test_are_refused_with_what_to_say(
        self, tmp_path: Path, logged: str, heads: dict[str, ImportHead], said: str
    ) -> None:
        with pytest.raises(InputError, match=said):
            imported(drawn(tmp_path / "log.csv", p=logged), heads)

    def test_leave_nothing_stored(self, tmp_path: Path) -> None:
        path = tmp_path / "rejects.csv"
        with pytest.raises(InputError, match="so nothing was stored"):
            imported(drawn(tmp_path / "log.csv", p="{ps}"), rejects_path=path)
        for model in (Person, Consent, Decision, SignalImport, VaultEvent):
            assert not model._default_manager.exists(), model
        assert not path.exists()

    def test_are_refused_where_frequencies_contradict_the_declared_logging(self, tmp_path: Path) -> None:
        with pytest.raises(
            InputError, match=r"head policy take speak at \d\d%, but the loop file declares logging 0.4"
        ):
            imported(drawn(tmp_path / "log.csv", speak=0.7), DECLARED)

    def test_are_refused_for_explored_rows_as_for_all(self, tmp_path: Path) -> None:
        """The column is right, but the rows that are marked as explored were not drawn from the declared logging."""
        with pytest.raises(InputError, match=r"Explored rows of head policy take \w+ at"):
            imported(drawn(tmp_path / "log.csv", speak=0.7, explored="1"), explored="explored")

    def test_of_a_sub_head_are_refused(self, tmp_path: Path) -> None:
        heads = {**POLICY_ALONE, "timing": ImportHead("when", "when_p")}
        with pytest.raises(InputError, match=r"timing: the mean of 1/propensity where now was taken is 4\.0 "):
            imported(drawn(tmp_path / "log.csv", when="now", when_p="0.25"), heads)

    def test_are_imported_for_a_reason_which_is_recorded(self, tmp_path: Path) -> None:
        report = imported(drawn(tmp_path / "log.csv", p="{ps}"), override_propensities=" as the trial team says ")
        assert (
            report.added == 400 and report.override == SignalImport.objects.get().override == "as the trial team says"
        )
        body = VaultEvent.objects.get(kind="import").body
        assert body["override"] == "as the trial team says" and body["refuted"][0].startswith("policy.wait: ")

    def test_need_a_reason_of_some_letters_and_not_of_many(self, tmp_path: Path) -> None:
        path = drawn(tmp_path / "log.csv", p="{ps}")
        with pytest.raises(InputError, match="do not fit its actions"):
            imported(path, override_propensities="   ")
        with pytest.raises(InputError, match="the reason has 301 characters; use at most 300"):
            imported(path, override_propensities="x" * 301)

    @pytest.mark.parametrize(("people", "said"), [(40, r" \(the median sum is 1\.5\)\."), (5, r"\.")])
    def test_that_do_not_sum_to_1_are_refused_with_what_they_sum_to(
        self, tmp_path: Path, people: int, said: str
    ) -> None:
        heads = {"policy": ImportHead("did", propensities={"wait": "p", "speak": "when_p"})}
        path = drawn(tmp_path / "log.csv", people=people, p="0.75", when_p="0.75")
        with pytest.raises(
            InputError, match=rf"columns 'p', 'when_p' of head policy do not sum to 1{said} The columns"
        ):
            imported(path, heads)


class TestWhatIsShown:
    """Reports and records outlive an erasure, so they hold no figure that gives a person away."""

    def test_has_two_digits(self, tmp_path: Path) -> None:
        report = imported(drawn(tmp_path / "log.csv", people=123))
        for m in report.propensities:
            assert m["people"] == 120 and not {"rows", "share"} & set(m)
            assert all(m[name] == float(f"{m[name]:.2g}") for name in ("mean", "low", "high"))
            assert f"{m['mean']:,} [{m['low']:,}, {m['high']:,}]" in "".join(report.findings)

    @pytest.mark.parametrize("people", [1, 9])
    def test_has_no_number_for_fewer_than_ten_people(self, tmp_path: Path, people: int) -> None:
        report = imported(drawn(tmp_path / "log.csv", people=people))
        assert all(set(m) == {"head", "action", "among", "finding"} for m in report.propensities)
        assert SignalImport.objects.get().propensities == report.propensities
        assert not any(character.isdigit() for text in (*report.findings, *report.warnings) for character in text)

    def test_has_no_number_in_a_refusal_for_fewer_than_ten_people(self, tmp_path: Path) -> None:
        path = drawn(tmp_path / "log.csv", people=9, p="0.111")
        with pytest.raises(InputError, match=r"the propensities of \w+ do not fit its actions\. "):
            imported(path)
        imported(path, override_propensities="as they say")
        assert all(
            text.startswith("policy.") and ":" not in text
            for text in VaultEvent.objects.get(kind="import").body["refuted"]
        )


class TestATinyPropensity:
    """One person's row must neither stop an import half-way nor hide what the others show."""

    def test_is_a_rejected_row(self, tmp_path: Path) -> None:
        path = drawn(tmp_path / "log.csv")
        cells = path.read_text().splitlines()
        cells[1] = cells[1].replace(",0.4,now", ",1e-310,now").replace(",0.6,now", ",1e-310,now")
        path.write_text("\n".join(cells) + "\n")
        report = imported(path)
        assert (report.added, report.rejected, report.counts["rejected"]) == (399, 1, {"small_propensity": 1})
        assert (
            SignalImport.objects.get().added == 399 and min(Choice.objects.values_list("propensity", flat=True)) == 0.4
        )

    def test_of_an_action_not_taken_hides_nothing(self, tmp_path: Path) -> None:
        heads = {"policy": ImportHead("did", propensities={"wait": "p", "speak": "when_p"})}
        path = drawn(tmp_path / "log.csv", p="0.111", when_p="0.889")
        line = "zoe,2024-05-01T09:00:00,0.1,home,0.5,1,1,wait,1,now,1e-310,1.5,good,"
        path.write_text(path.read_text() + line + "\n")
        with pytest.raises(InputError, match="do not fit its actions"):
            imported(path, heads)


class TestWhatAFileCannotShow:
    def test_an_action_that_was_never_logged_is_named(self, tmp_path: Path) -> None:
        report = imported(drawn(tmp_path / "log.csv", did="wait", p="1"))
        assert "policy: speak was never logged, so this file holds no evidence about it." in report.warnings
        assert "policy: all rows have propensity 1, so nothing was randomised there." in report.warnings

    def test_too_few_people_are_imported_with_a_note(self, tmp_path: Path) -> None:
        report = imported(drawn(tmp_path / "log.csv", people=5, p="{ps}"))
        assert report.added == 50 and report.warnings == ["policy: too few people to check the propensities."]

    def test_a_file_without_available_rows_is_named(self, tmp_path: Path) -> None:
        report = imported(drawn(tmp_path / "log.csv", free="0"))
        assert report.added == 400
        assert report.warnings == ["No row was available to randomise, so no release will use a row of this file."]
