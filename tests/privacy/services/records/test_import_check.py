"""Before anything of a file is stored, its propensities are checked against its actions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from core.errors import InputError
from loops.engine.spec import ImportHead
from privacy.models import Choice, Consent, Decision, Person, PrivacyBudget, Purpose, SignalImport, VaultEvent
from privacy.services.records.import_file import ImportReport, signals_import
from privacy.services.vault.commitments import text_digest
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
        assert {round(p or 0.0, 9) for p in Choice.objects.values_list("propensity", flat=True)} == {0.4, 0.6}


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
            InputError,
            match=r"head policy take speak with a frequency of 0\.\d\d, but the loop file declares logging 0.4",
        ):
            imported(drawn(tmp_path / "log.csv", speak=0.7), DECLARED)

    def test_are_refused_for_explored_rows_as_for_all(self, tmp_path: Path) -> None:
        """The column is right, but the rows that are marked as explored were not drawn from the declared logging."""
        with pytest.raises(InputError, match=r"Explored rows of head policy take \w+ with a frequency of 0"):
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
        assert body["override"] == text_digest("as the trial team says") and body["refuted"][0].startswith(
            "policy.wait: "
        )

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


class TestARegion:
    """An action that was declared and never tried in one region of states keeps a mean of nearly 1 over the file."""

    def gap(self, path: Path, *, p_speak: str = "0.4", p_wait: str = "0.6", free: str = "1") -> Path:
        """Of 120 people with 20 rows, each is at work in two. There nobody is spoken to, and the cells given hold."""
        rng, rows = np.random.default_rng(2), []
        for person in range(120):
            for i, row in enumerate(points(f"u{person}", 20)):
                at_work = i % 10 == 5
                did = "speak" if not at_work and rng.random() < 0.4 else "wait"
                cells = (
                    {"place": "work", "free": free, "p": p_wait, "when_p": p_speak}
                    if at_work
                    else {"p": "0.6", "when_p": "0.4"}
                )
                rows.append(row | {"did": did, "mood": f"{rng.uniform(-1, 1):.2f}"} | cells)
        return write_csv(path, rows)

    EACH: ClassVar = {"policy": ImportHead("did", propensities={"wait": "p", "speak": "when_p"})}

    def test_without_an_action_is_refused_with_what_to_do(self, tmp_path: Path) -> None:
        said = (
            r"policy: speak was never logged while place is work \(about 240 rows\), where its propensities expect 96\..*"
            r"one column an action with 0 there \(propensities in \[import\.csv\.heads\.policy\]\), or mark these rows as "
            r"unavailable.*--override-propensities"
        )
        with pytest.raises(InputError, match=said):
            imported(self.gap(tmp_path / "log.csv"), self.EACH)
        for model in (Person, Consent, PrivacyBudget, Decision, SignalImport, VaultEvent):
            assert not model._default_manager.exists(), model

    def test_where_it_was_unavailable_is_accepted(self, tmp_path: Path) -> None:
        report = imported(self.gap(tmp_path / "log.csv", free="0"), self.EACH)
        assert report.added == 2_400 and not report.warnings

    def test_where_the_action_has_propensity_0_is_accepted_and_named(self, tmp_path: Path) -> None:
        report = imported(self.gap(tmp_path / "log.csv", p_speak="0", p_wait="1"), self.EACH)
        assert report.added == 2_400
        assert (
            "policy: speak was impossible while place is work, so this file holds no evidence about it there."
            in report.warnings
        )

    def test_is_imported_for_a_reason_which_is_recorded(self, tmp_path: Path) -> None:
        report = imported(self.gap(tmp_path / "log.csv"), self.EACH, override_propensities="as the trial team says")
        body = VaultEvent.objects.get(kind="import").body
        assert body["refuted"] == ["policy.speak while place is work: 0", "policy.wait while place is work: 1.7"]
        shown = [m for m in SignalImport.objects.get().propensities if "region" in m]
        assert [(m["action"], m["region"], m["finding"]) for m in shown] == [
            ("speak", "place is work", "never logged"), ("wait", "place is work", "refuted"),
        ]  # fmt: skip
        assert any("speak was never logged while place is work" in text for text in report.findings)


class TestAHiddenStratum:
    """Half of the people got an action with .2 and half with .8, for a reason that no feature holds; the file says .5."""

    def strata(self, path: Path, people: int = 100) -> Path:
        rng, rows = np.random.default_rng(3), []
        for person in range(people):
            for row in points(f"u{person}", 20):
                did = "speak" if rng.random() < (0.2, 0.8)[person % 2] else "wait"
                rows.append(row | {"did": did, "p": "0.5"})
        return write_csv(path, rows)

    def test_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(
            InputError, match=r"differs between people by a standard deviation of 0\.[56]\d? .*for this person"
        ):
            imported(self.strata(tmp_path / "log.csv"))
        assert not Person.objects.exists() and not SignalImport.objects.exists()

    def test_is_imported_for_a_reason_which_is_recorded(self, tmp_path: Path) -> None:
        imported(self.strata(tmp_path / "log.csv"), override_propensities="as the trial team says")
        assert all(
            t.startswith("policy.") and "between people: 0." in t
            for t in VaultEvent.objects.get(kind="import").body["refuted"]
        )

    def test_is_not_told_from_a_draw_once_a_person(self, tmp_path: Path) -> None:
        rows = [
            row | {"did": ("wait", "speak")[person % 2], "p": "0.5"}
            for person in range(40)
            for row in points(f"u{person}", 20)
        ]
        report = imported(write_csv(tmp_path / "log.csv", rows))
        assert report.warnings == [
            "policy: nearly everybody has one action on all rows, as if it was drawn once a person."
        ]


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
        least = min(p or 0.0 for p in Choice.objects.values_list("propensity", flat=True))
        assert (SignalImport.objects.get().added, least) == (400, 0.4)

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


class TestActionsThatAreNotMapped:
    def with_others(self, path: Path, *, others: dict[str, int], people: int = 40) -> Path:
        """Rows of people who wait, speak or do something else, each drawn with a third. ``others``: how many people each."""
        rng, rows = np.random.default_rng(1), []
        texts = [text for text, count in others.items() for _ in range(count)]
        for person in range(people):
            text = texts[person] if person < len(texts) else "speak"
            for row in points(f"u{person}", 10):
                rows.append(row | {"did": str(rng.choice(["wait", "speak", text])), "p": f"{1 / 3}"})
        return write_csv(path, rows)

    def test_are_named_and_the_propensities_are_not_blamed(self, tmp_path: Path) -> None:
        path = self.with_others(tmp_path / "log.csv", others={"jog": 40})
        with pytest.raises(InputError) as caught:
            imported(path)
        said = str(caught.value)
        assert said.startswith(
            "log.csv holds actions that the loop file does not name, so nothing was stored: column 'did'"
        )
        assert "holds 'jog', but its actions are 'wait', 'speak'" in said
        assert "policy in [import.csv.actions]" in said
        assert "propensities of log.csv" not in said and "No usual convention" not in said
        assert not Decision.objects.exists() and not Person.objects.exists()

    def test_what_a_few_people_have_is_not_repeated(self, tmp_path: Path) -> None:
        path = self.with_others(tmp_path / "log.csv", others={"jog": 30, "call me on 555": 3})
        with pytest.raises(InputError, match="holds 'jog' and texts of a few people, but its actions are") as caught:
            imported(path)
        assert "555" not in str(caught.value)

    def test_rows_may_be_left_out_for_a_reason(self, tmp_path: Path) -> None:
        path = self.with_others(tmp_path / "log.csv", others={"jog": 40})
        report = imported(path, override_propensities="jogging ended in May")
        assert report.rejected > 50 and report.counts["rejected"] == {"unknown_action": report.rejected}
        assert report.override == "jogging ended in May"

    def test_a_single_misspelling_refuses_no_file(self, tmp_path: Path) -> None:
        path = drawn(tmp_path / "log.csv")
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("speak", "speek", 1), encoding="utf-8")
        report = imported(path)
        assert report.counts["rejected"] == {"unknown_action": 1}

    def test_wrong_propensities_are_still_refused_as_such(self, tmp_path: Path) -> None:
        path = drawn(tmp_path / "log.csv", p="{ps}")
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("speak", "speek", 1), encoding="utf-8")
        with pytest.raises(InputError, match=r"the propensities of log\.csv do not fit its actions"):
            imported(path)
