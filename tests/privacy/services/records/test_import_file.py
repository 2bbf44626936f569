from __future__ import annotations

import csv
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from core.errors import InputError
from loops.intake.rejects import RejectsFile
from loops.models import LoopVersion
from privacy.models import (
    Choice,
    Consent,
    Decision,
    Person,
    PrivacyBudget,
    Purpose,
    Release,
    RewardSignal,
    SignalImport,
    VaultEvent,
)
from privacy.services.people.consent import consent_withdraw
from privacy.services.people.erasure import person_erase
from privacy.services.people.identity import people_get_or_create
from privacy.services.records import import_file as collect
from privacy.services.records.import_file import ImportReport, signals_import
from tests.factories.diary import COLUMNS, diary_version, points, row, write_csv, write_jsonl
from tests.factories.sealed import outcome_of, state_values

pytestmark = pytest.mark.django_db
TABLES = (Person, PrivacyBudget, Consent, Decision, Choice, RewardSignal)
NO_GAP = [c for c in COLUMNS if c != "gap"]


def imported(path: Path, **options: Any) -> ImportReport:
    given: dict[str, Any] = {
        "loop_version": diary_version(),
        "consents": [],
        "rejects_path": path.with_suffix(".rejects"),
    }
    return signals_import(path=path, **given | options)


def rejects(path: Path) -> list[tuple[int, str]]:
    with path.with_suffix(".rejects").open(encoding="utf-8") as file:
        return [(int(r["line"]), r["reason"]) for r in csv.DictReader(file)]


def everything() -> list[Any]:
    """All rows of all tables, as they lie in the database."""
    return [sorted(map(repr, model.objects.values_list())) for model in TABLES]


def states() -> list[list[float]]:
    return [state_values(d) for d in Decision.objects.order_by("person_id", "decided_at")]


class TestAFile:
    def test_becomes_decisions_choices_and_outcomes(self, tmp_path: Path) -> None:
        rows = [
            row(),
            row(at="2024-06-01T09:00", did="wait", p="0.6", free="1", felt="", answer=""),
            row(who="ben", free="0"),
        ]
        report = imported(write_csv(tmp_path / "log.csv", rows))
        assert (report.rows, report.added, report.unchanged, report.rejected) == (3, 3, 0, 0)
        first = Decision.objects.get(decided_at="2024-05-31T16:30Z", available=True)
        assert str(first.local_day) == "2024-05-31" and state_values(first) == [0.5, 0.0, 0.25]
        chosen = Choice.objects.filter(decision=first).order_by("head").values_list("head", "action", "propensity")
        assert list(chosen) == [("policy", 1, 0.4), ("timing", 0, 0.5)]
        outcome = RewardSignal.objects.get(decision=first)
        assert outcome_of(outcome)[0] == 1.5 and outcome.harmful is False
        assert (outcome.closed_at - first.decided_at).total_seconds() == diary_version().spec.reward.deadline_seconds
        assert Choice.objects.count() == 3  # the unavailable decision has none
        assert RewardSignal.objects.count() == 2  # nothing was observed after the second

    def test_json_lines_say_the_same_as_csv(self, tmp_path: Path) -> None:
        rows = points("ann", 6)
        imported(write_csv(tmp_path / "log.csv", rows))
        numbers = {"mood", "gap", "p", "felt"}
        typed = [{c: float(v) if c in numbers else v for c, v in r.items()} for r in rows]
        again = imported(write_jsonl(tmp_path / "log.jsonl", typed))
        assert (again.added, again.unchanged) == (0, 6)

    def test_is_kept_with_its_counts(self, tmp_path: Path) -> None:
        report = imported(write_csv(tmp_path / "log.csv", [row(), row(who="ben", mood="7"), row(who="cat", mood="?")]))
        kept = SignalImport.objects.get()
        assert (report.rows, report.added, report.rejected) == (3, 2, 1)
        assert report.counts == {"clamped": {"mood": 1}, "rejected": {"not_a_number": 1}}
        assert (kept.rows, kept.added, kept.unchanged, kept.rejected) == (10, 10, 0, 10), "no exact count is permanent"
        assert kept.counts == {"clamped": {"mood": 10}, "rejected": {"not_a_number": 10}}
        assert len(kept.file_sha256) == 64

    def test_says_the_same_of_one_row_as_of_four_in_what_is_permanent(self, tmp_path: Path) -> None:
        one = imported(write_csv(tmp_path / "one.csv", [row(mood="7")])).as_record()
        four = imported(write_csv(tmp_path / "four.csv", [row(who=f"p{n}", mood="7") for n in range(4)])).as_record()
        for name in ("rows", "added", "rejected", "counts"):
            assert one[name] == four[name]
        assert one["counts"] == {"clamped": {"mood": 10}}

    def test_names_no_file_in_what_is_permanent(self, tmp_path: Path, settings: Any) -> None:
        settings.VAR_DIR = tmp_path / "var"
        path = write_csv(tmp_path / "anna-schmidt.csv", [row(), row(who="ben", mood="?")])
        report = imported(path, consents=[Purpose.TRAINING], rejects_path=None)
        assert report.file == "anna-schmidt.csv", "whoever imports it sees its name"
        stored = [*SignalImport.objects.values(), *VaultEvent.objects.values(), *Consent.objects.values()]
        assert "anna" not in f"{report.as_record()} {stored}"

    def test_tells_how_far_it_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(collect, "IMPORT_CHUNK", 10)
        seen: list[float] = []
        path = write_csv(tmp_path / "log.csv", points("ann", 35))
        imported(path, progress=lambda fraction, text: seen.append(fraction))
        assert len(seen) == 4 and seen == sorted(seen) and seen[-1] == 1.0


class TestTheSameAgain:
    def test_changes_nothing(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "log.csv", [*points("ann", 9), *points("ben", 4), row(who="cat", mood="?")])
        first = imported(path, consents=[Purpose.TRAINING])
        before = everything()
        again = imported(path, consents=[Purpose.TRAINING])
        assert (first.added, first.unchanged) == (13, 0)
        assert (again.added, again.unchanged, again.rejected, again.consents_granted) == (0, 13, 1, 0)
        assert everything() == before

    def test_completes_what_was_killed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(collect, "IMPORT_CHUNK", 10)
        path = write_csv(tmp_path / "log.csv", points("ann", 35))

        def killed(fraction: float, text: str) -> None:
            if Decision.objects.count() >= 20:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            imported(path, progress=killed)
        assert Decision.objects.count() == 20 and not SignalImport.objects.exists()
        assert not list(tmp_path.glob("*.partial")) and not path.with_suffix(".rejects").exists()
        rest = imported(path)
        assert (rest.added, rest.unchanged) == (15, 20)

    def test_adds_what_is_new(self, tmp_path: Path) -> None:
        imported(write_csv(tmp_path / "log.csv", points("ann", 5)))
        longer = imported(write_csv(tmp_path / "longer.csv", points("ann", 8)))
        assert (longer.added, longer.unchanged) == (3, 5)

    @pytest.mark.parametrize("chunk", [2, 100])
    def test_of_a_key_inside_a_file_counts_the_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
    ) -> None:
        monkeypatch.setattr(collect, "IMPORT_CHUNK", chunk)
        rows = [row(), row(who="ben"), row(), row(mood="0.1"), row(who="ben", felt="9"), row(who="ben")]
        path = write_csv(tmp_path / "log.csv", rows)
        report = imported(path)
        assert (report.added, report.unchanged, report.rejected) == (2, 2, 2)
        assert rejects(path) == [(5, "conflicting_key"), (6, "conflicting_key")]
        assert states()[0][0] == 0.5

    @pytest.mark.parametrize(
        "cells",
        [
            {"mood": "0.4"},
            {"did": "wait", "p": "0.6"},
            {"p": "0.3"},
            {"felt": "1.4"},
            {"answer": "bad"},
            {"gone": "1"},
            {"free": "0"},
        ],
    )
    def test_with_other_content_is_a_conflict_whatever_differs(self, tmp_path: Path, cells: dict[str, str]) -> None:
        imported(write_csv(tmp_path / "log.csv", [row()]))
        path = write_csv(tmp_path / "other.csv", [row(**cells), row(who="ben")])
        report = imported(path)
        assert (report.added, report.rejected) == (1, 1) and rejects(path) == [(2, "conflicting_key")]


def recent(hours: float, **cells: str) -> dict[str, str]:
    """A row of so many hours ago. The loop's deadline is 24 hours."""
    return row(at=(datetime.now(UTC) - timedelta(hours=hours)).isoformat(), **cells)


def with_default(value: float | None) -> LoopVersion:
    version = diary_version()
    version.spec = replace(version.spec, reward=replace(version.spec.reward, default=value))
    return version


class TestAnOutcomeInALaterFile:
    silent = {"felt": "", "answer": ""}

    def both(self, tmp_path: Path, first: dict[str, str], later: dict[str, str], **options: Any) -> ImportReport:
        imported(write_csv(tmp_path / "one.csv", [first]), **options)
        return imported(write_csv(tmp_path / "two.csv", [later, row(who="ben")]), **options)

    def test_joins_its_decision_while_that_is_open(self, tmp_path: Path) -> None:
        told = recent(3)
        report = self.both(tmp_path, told | self.silent, told)
        assert (report.rows, report.added, report.joined, report.unchanged, report.rejected) == (2, 1, 1, 0, 0)
        kept = RewardSignal.objects.get(decision__person=Decision.objects.order_by("pk")[0].person)
        assert outcome_of(kept)[0] == 1.5 and kept.harmful is False and kept.has_reward is True
        assert (kept.closed_at - kept.decision.decided_at) == timedelta(hours=24)
        assert SignalImport.objects.order_by("-pk")[0].counts["joined"] == {"rows": 10}

    def test_is_too_late_after_the_deadline_and_says_what_to_do(self, tmp_path: Path) -> None:
        told = recent(25)
        report = self.both(tmp_path, told | self.silent, told)
        assert (report.added, report.joined, report.rejected) == (1, 0, 1)
        assert rejects(tmp_path / "two.csv") == [(2, "late_outcome")]
        assert "longer deadline" in (tmp_path / "two.rejects").read_text() and RewardSignal.objects.count() == 1

    def test_takes_the_place_of_the_default(self, tmp_path: Path) -> None:
        told = recent(3)
        report = self.both(tmp_path, told | self.silent, told, loop_version=with_default(-0.5))
        assert report.joined == 1 and outcome_of(RewardSignal.objects.order_by("pk")[0])[0] == 1.5

    def test_with_a_reward_for_a_label_alone_holds_a_reward(self, tmp_path: Path) -> None:
        told = recent(3)
        self.both(tmp_path, told | {"felt": ""}, told)
        kept = RewardSignal.objects.order_by("pk")[0]
        assert kept.has_reward is True and outcome_of(kept)[0] == 1.5

    def test_never_changes_what_a_release_has_read(self, tmp_path: Path) -> None:
        told, version = recent(3), with_default(-0.5)
        imported(write_csv(tmp_path / "one.csv", [told | self.silent]), loop_version=version)
        read = Release.objects.create(
            key="k",
            loop_version=version,
            purpose="training",
            technique="central_dp",
            mechanism="m",
            policy_cost=1,
            guarantee="g",
        )
        RewardSignal.objects.update(release=read)
        report = imported(write_csv(tmp_path / "two.csv", [told, row(who="ben")]), loop_version=version)
        assert (report.joined, report.rejected) == (0, 1)
        assert outcome_of(RewardSignal.objects.order_by("pk")[0])[0] == -0.5

    def test_may_come_in_parts(self, tmp_path: Path) -> None:
        """The label first, then the reward."""
        told = recent(3)
        assert self.both(tmp_path, told | {"felt": ""}, told).joined == 1
        assert outcome_of(RewardSignal.objects.order_by("pk")[0])[0] == 1.5

    @pytest.mark.parametrize("chunk", [1, 100])
    def test_may_be_a_later_row_of_the_same_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
    ) -> None:
        monkeypatch.setattr(collect, "IMPORT_CHUNK", chunk)
        told, old = recent(3), row(who="old")
        rows = [told | self.silent, told, told | self.silent, old | self.silent, old]
        report = imported(write_csv(tmp_path / "log.csv", rows))
        assert (report.rows, report.added, report.joined, report.unchanged, report.rejected) == (5, 2, 1, 1, 1)
        assert outcome_of(RewardSignal.objects.get())[0] == 1.5

    def test_is_not_lost_when_the_first_file_is_imported_again(self, tmp_path: Path) -> None:
        told = recent(3)
        self.both(tmp_path, told | self.silent, told)
        again = imported(tmp_path / "one.csv")
        assert (again.joined, again.unchanged, again.rejected) == (0, 1, 0)
        assert outcome_of(RewardSignal.objects.order_by("pk")[0])[0] == 1.5

    @pytest.mark.parametrize("cells", [{"felt": "1.4"}, {"answer": "bad"}, {"mood": "0.4"}])
    def test_never_changes_an_outcome_or_another_part_of_the_row(self, tmp_path: Path, cells: dict[str, str]) -> None:
        told = recent(3)
        assert self.both(tmp_path, told, told | cells).joined == 0
        assert rejects(tmp_path / "two.csv") == [(2, "conflicting_key")]


class TestConsent:
    def test_is_recorded_for_the_people_of_usable_rows(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "log.csv", [row(), row(who="ben"), row(who="cat", mood="?")])
        report = imported(path, consents=[Purpose.TRAINING, Purpose.EVALUATION])
        assert report.consents_granted == 4
        assert list(PrivacyBudget.objects.values_list("consent_mask", flat=True)) == [6, 6]
        digest = SignalImport.objects.get().file_sha256
        assert set(Consent.objects.values_list("source", flat=True)) == {f"import of file {digest[:16]}"}

    def test_is_not_assumed(self, tmp_path: Path) -> None:
        imported(write_csv(tmp_path / "log.csv", [row()]))
        assert PrivacyBudget.objects.get().consent_mask == 0 and not Consent.objects.exists()

    def test_can_be_given_later_with_the_same_file(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "log.csv", [row()])
        imported(path)
        assert imported(path, consents=[Purpose.TRAINING]).consents_granted == 1

    def test_that_was_withdrawn_stays_withdrawn(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "log.csv", [row()])
        imported(path, consents=[Purpose.TRAINING])
        consent_withdraw(person_ids=[Person.objects.get().pk], purposes=[Purpose.TRAINING], source="the app")
        assert imported(path, consents=[Purpose.TRAINING]).consents_granted == 0
        assert PrivacyBudget.objects.get().consent_mask == 0


class TestRejects:
    def test_are_listed_by_line_without_any_value(self, tmp_path: Path) -> None:
        bad = {"mood": "secret-1", "place": "secret-2", "did": "secret-3", "p": "secret-4", "at": "secret-5"}
        path = write_csv(tmp_path / "log.csv", [row(), *(row(who="secret-0", **{c: v}) for c, v in bad.items())])
        imported(path)
        assert rejects(path) == [
            (3, "not_a_number"), (4, "unknown_category"), (5, "unknown_action"), (6, "not_a_number"), (7, "bad_time")
        ]  # fmt: skip
        assert "secret" not in path.with_suffix(".rejects").read_text()

    def test_lie_under_var_unless_said_otherwise(self, tmp_path: Path, settings: Any) -> None:
        settings.VAR_DIR = tmp_path / "var"
        path = write_csv(tmp_path / "log.csv", [row(), row(who="ben", mood="?")])
        report = imported(path, rejects_path=None)
        (written,) = (tmp_path / "var" / "rejects").iterdir()
        assert (
            report.rejects_file == str(written) and written.name == f"{SignalImport.objects.get().file_sha256[:16]}.csv"
        )

    def test_without_any_there_is_no_file_unless_one_was_named(self, tmp_path: Path, settings: Any) -> None:
        settings.VAR_DIR = tmp_path / "var"
        path = write_csv(tmp_path / "log.csv", [row()])
        assert imported(path, rejects_path=None).rejects_file is None
        assert not list((tmp_path / "var" / "rejects").iterdir())
        imported(path)
        assert rejects(path) == []

    def test_never_overwrite_the_file_that_is_read(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "log.csv", [row()])
        before = path.read_bytes()
        with pytest.raises(InputError, match="would overwrite"):
            imported(path, rejects_path=path)
        assert path.read_bytes() == before and not Decision.objects.exists()

    def test_cannot_go_where_nothing_can_be_written(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "log.csv", [row()])
        with pytest.raises(InputError, match="cannot be written"):
            imported(path, rejects_path=path / "below" / "a file")
        with pytest.raises(InputError, match="is a directory"):
            imported(path, rejects_path=tmp_path)
        assert not Decision.objects.exists()

    def test_that_never_were_written_leave_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt), RejectsFile(tmp_path / "r.csv", never=tmp_path, keep_empty=True):
            raise KeyboardInterrupt
        assert not list(tmp_path.iterdir())


class TestAUselessFile:
    @pytest.mark.parametrize(
        ("rows", "says"),
        [
            ([], "has a header and no rows"),
            ([row(mood="?"), row(mood="")], r"none of about 10 rows .* missing_value \(about 10\)"),
        ],
    )
    def test_is_refused_in_one_sentence_and_leaves_nothing(
        self, tmp_path: Path, rows: list[dict[str, str]], says: str
    ) -> None:
        with pytest.raises(InputError, match=says):
            imported(write_csv(tmp_path / "log.csv", rows), consents=[Purpose.TRAINING])
        assert not any(model.objects.exists() for model in (*TABLES, SignalImport))


class TestComputedFeatures:
    def rows(self) -> list[dict[str, str]]:
        return [*points("ann", 7), *points("ben", 5)]

    def test_follow_each_persons_decisions(self, tmp_path: Path) -> None:
        imported(write_csv(tmp_path / "log.csv", points("ann", 7), NO_GAP))
        assert [s[2] for s in states()] == [1.0, 0.0, 0.25, 0.5, 0.0, 0.25, 0.5]

    def test_do_not_depend_on_the_order_of_lines(self, tmp_path: Path) -> None:
        rows = self.rows()
        imported(write_csv(tmp_path / "log.csv", rows, NO_GAP))
        before = states()
        Decision.objects.all().delete()
        random.Random(3).shuffle(rows)
        imported(write_csv(tmp_path / "shuffled.csv", rows, NO_GAP))
        assert states() == before

    def test_count_rejected_rows_as_decision_points(self, tmp_path: Path) -> None:
        rows = points("ann", 4)
        rows[1] = rows[1] | {"mood": "?"}
        imported(write_csv(tmp_path / "log.csv", rows, NO_GAP))
        assert [s[2] for s in states()] == [1.0, 0.25, 0.5]

    def test_do_not_count_a_repeated_line_as_another_point(self, tmp_path: Path) -> None:
        rows = points("ann", 3)
        report = imported(write_csv(tmp_path / "log.csv", [rows[0], rows[0], *rows[1:]], NO_GAP))
        assert report.unchanged == 1 and [s[2] for s in states()] == [1.0, 0.0, 0.25]

    @pytest.mark.parametrize("first", [1, 2, 4, 6])
    def test_go_on_from_what_is_stored(self, tmp_path: Path, first: int) -> None:
        rows = points("ann", 7)
        imported(write_csv(tmp_path / "one.csv", rows[:first], NO_GAP))
        imported(write_csv(tmp_path / "two.csv", rows[first:], NO_GAP))
        assert [s[2] for s in states()] == [1.0, 0.0, 0.25, 0.5, 0.0, 0.25, 0.5]

    def test_the_same_file_again_changes_nothing(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "log.csv", self.rows(), NO_GAP)
        imported(path)
        before = everything()
        assert imported(path).unchanged == 12 and everything() == before


class TestOnePerson:
    def test_is_one_however_a_column_of_numbers_was_written(self, tmp_path: Path) -> None:
        imported(write_csv(tmp_path / "whole.csv", [row(who="12")]))
        again = imported(write_csv(tmp_path / "floats.csv", [row(who="12.0"), row(who="12.0", at="2024-06-01T09:00")]))
        assert (again.added, again.unchanged) == (1, 1) and Person.objects.count() == 1

    def test_whose_identifier_hides_something_is_refused_row_by_row(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "log.csv", [row(), row(who="b\u200ben"), row(who="1.5E+15"), row(who="x" * 201)])
        report = imported(path)
        assert (report.rows, report.added) == (4, 1) and report.counts["rejected"] == {"bad_user": 3}
        assert rejects(path) == [(3, "bad_user"), (4, "bad_user"), (5, "bad_user")]


class TestAfterAnErasure:
    @pytest.mark.parametrize("comes_back", [False, True])
    def test_rows_from_before_are_refused_and_counted(self, tmp_path: Path, comes_back: bool) -> None:
        path = write_csv(tmp_path / "log.csv", [row(), row(who="ben")])
        imported(path, consents=[Purpose.TRAINING])
        population = diary_version().spec.population
        ids = people_get_or_create(population=population, identifiers=["ann", "ben"])
        person_erase(person_id=ids["ann"], source="test")
        if comes_back:
            people_get_or_create(population=population, identifiers=["ann"])
        again = imported(path, consents=[Purpose.TRAINING])
        assert (again.rows, again.added, again.unchanged, again.rejected) == (2, 0, 1, 1)
        assert again.counts["rejected"] == {"erased": 1} and rejects(path)[0][1] == "erased"
        assert not Decision.objects.filter(person_id=ids["ann"]).exists() and again.consents_granted == 0
        assert (Person.objects.get(pk=ids["ann"]).erased_at is None) is comes_back, "a refused row brings nobody back"

    def test_rows_of_a_new_life_are_taken_without_the_files_consent(self, tmp_path: Path) -> None:
        imported(write_csv(tmp_path / "log.csv", [row()]), consents=[Purpose.TRAINING])
        (pk,) = Person.objects.values_list("pk", flat=True)
        person_erase(person_id=pk, source="test")
        erased = timezone.now() - timedelta(days=2)
        Person.objects.filter(pk=pk).update(last_erased_at=erased)
        now, local = timezone.now(), erased + timedelta(hours=13)  # the second may be a local time before the erasure
        rows = [row(at=f"{at:%Y-%m-%dT%H:%M}") for at in (now, local, now + timedelta(hours=15))]
        report = imported(write_csv(tmp_path / "new.csv", rows), consents=[Purpose.TRAINING])
        assert (report.added, report.rejected, report.consents_granted) == (1, 2, 0), (
            "a date of the future is no new life"
        )
        assert Person.objects.get().erased_at is None and PrivacyBudget.objects.get().consent_mask == 0
