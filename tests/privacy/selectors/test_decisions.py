from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from privacy.engine.decision_arrays import evaluation_rows, randomised_rows
from privacy.models import Choice, Person
from privacy.selectors import decisions
from privacy.selectors.decisions import (
    decision_arrays,
    evaluation_folds,
    people_with_usable_decisions,
    training_folds,
)
from privacy.selectors.keys import payload_opened
from privacy.services.people.identity import people_get_or_create
from privacy.services.records.import_file import signals_import
from tests.factories.diary import diary, diary_version, points, row, write_csv

pytestmark = pytest.mark.django_db


@pytest.fixture
def stored(tmp_path: Path) -> dict[str, int]:
    """Ann with six decisions in reverse order of the file, ben with two, cat unavailable once and silent once."""
    rows = [
        *reversed(points("ann", 6)),
        row(who="ben", at="2024-05-01T09:00", mood="-0.5", answer="bad", felt="2", p="0.25"),
        row(who="ben", at="2024-05-01T12:00", mood="-0.25", answer="", gone="1", did="wait", p="0.5"),
        row(who="cat", at="2024-05-01T09:00", free="0"),
        row(who="cat", at="2024-05-01T12:00", felt="", explored="0"),
    ]
    path = write_csv(tmp_path / "log.csv", rows)
    signals_import(path=path, loop_version=diary_version(), consents=[], rejects_path=tmp_path / "rejects.csv")
    return people_get_or_create(population="diary", identifiers=["ann", "ben", "cat"])


def test_rows_are_in_order_of_person_and_time(stored: dict[str, int]) -> None:
    got = decision_arrays(loop_version=diary_version(), person_ids=None)
    assert got.person.tolist() == sorted(got.person.tolist()) and len(got.person) == 10
    ann = got.person == stored["ann"]
    assert got.reward[ann].tolist() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert got.heads["policy"].action[ann].tolist() == [1, 0, 0, 1, 0, 0]
    assert np.diff(got.day[ann]).tolist() == [0, 1, 0, 1, 0]


def test_next_states_follow_the_loops_rule(stored: dict[str, int]) -> None:
    got = decision_arrays(loop_version=diary_version(), person_ids=[stored["ann"]])
    assert got.has_next.tolist() == [True, False] * 3
    assert (got.next_state[0] == got.state[1]).all() and (got.next_state[1] == got.state[1]).all()
    crossing = diary_version(next_state="next_row")
    across = decision_arrays(loop_version=crossing, person_ids=[stored["ann"]])
    assert across.has_next.tolist() == [True] * 5 + [False]
    assert (across.next_state[:-1] == across.state[1:]).all()


def test_what_was_not_chosen_observed_or_labelled_is_marked(stored: dict[str, int]) -> None:
    ids = [stored["ben"], stored["cat"]]
    got = decision_arrays(loop_version=diary_version(), person_ids=ids)
    by_person = {p: np.flatnonzero(got.person == p) for p in ids}
    (spoke, waited), (away, silent) = by_person[stored["ben"]], by_person[stored["cat"]]
    timing = got.heads["timing"]
    assert timing.action[[spoke, waited, away, silent]].tolist() == [0, -1, -1, 0]
    assert np.isnan(timing.propensity[[waited, away]]).all() and np.isnan(timing.marginal[[waited, away]]).all()
    assert got.harmful[[spoke, waited]].tolist() == [1, -1]
    assert np.isnan(got.reward[silent]) and np.isnan(got.components).all()
    assert got.dropped_out[[spoke, waited]].tolist() == [False, True]
    assert got.available[[away, silent]].tolist() == [False, True]
    assert timing.explored[[spoke, waited, silent]].tolist() == [True, False, False]


def test_rows_that_an_older_version_stored_keep_the_bounds_of_an_import(
    stored: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Choice.objects.filter(decision__person=stored["ann"], head="policy").order_by("decision__decided_at")
    for choice, changed in zip(ann, ({"propensity": 1e-310}, {"marginal_propensity": 1e-9}), strict=False):
        Choice.objects.filter(pk=choice.pk).update(**changed)
    opened = payload_opened
    monkeypatch.setattr(decisions, "payload_opened", lambda *given: _enlarged(opened(*given)))
    got = decision_arrays(loop_version=diary_version(), person_ids=[stored["ann"]])
    assert got.heads["policy"].action.tolist() == [-1, -1, 0, 1, 0, 0]
    assert got.reward.tolist() == [0.0, *[20.0] * 5]
    rows = randomised_rows(got)
    assert rows.propensity.min() == 0.4 and len(rows.reward) == 4
    ann.update(propensity=1e-310)
    waiting = people_with_usable_decisions(loop_version=diary_version(), fresh=True)
    assert stored["ann"] not in waiting.values_list("pk", flat=True), "nobody is charged for what cannot be used"


def _enlarged(payload: bytes) -> bytes:
    """Make the reward of an outcome as large as an import once took."""
    values = np.frombuffer(payload, dtype="<f8")
    return (values * 1e303).tobytes() if len(values) == 7 else payload


def test_a_head_may_have_any_name_that_a_loop_file_allows(stored: dict[str, int]) -> None:
    """Also one that no alias of a query could have."""
    version = diary_version()
    plain = decision_arrays(loop_version=version, person_ids=None)
    for name in ("say--by__mail", "0"):
        Choice.objects.exclude(head="policy").update(head=name)
        policy, timing = diary().heads
        version.spec = replace(diary(), heads=(replace(timing, name=name), policy))
        got = decision_arrays(loop_version=version, person_ids=None)
        assert list(got.heads) == [name, "policy"]
        assert (got.heads[name].action == plain.heads["timing"].action).all()
        assert (got.heads["policy"].action == plain.heads["policy"].action).all()


def test_only_the_people_asked_for(stored: dict[str, int]) -> None:
    got = decision_arrays(loop_version=diary_version(), person_ids=np.array([stored["ben"], -1]))
    assert set(got.person.tolist()) == {stored["ben"]}


def test_only_the_version_asked_for(stored: dict[str, int]) -> None:
    assert decision_arrays(loop_version=diary_version(2), person_ids=None).person.size == 0


def test_nobody_gives_empty_arrays_of_the_right_shapes(db: None) -> None:
    got = decision_arrays(loop_version=diary_version(), person_ids=[])
    assert got.state.shape == got.next_state.shape == (0, 3) and got.components.shape == (0, 6)
    rows = randomised_rows(got)
    assert rows.users == 0 and rows.person.dtype == np.int64


def test_many_people_are_read_in_parts_without_losing_any(
    stored: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = decision_arrays(loop_version=diary_version(), person_ids=None)
    monkeypatch.setattr("privacy.selectors.decisions._PEOPLE_A_QUERY", 2)
    monkeypatch.setattr("privacy.selectors.decisions._ROWS_A_FETCH", 3)
    ids = list(Person.objects.values_list("pk", flat=True))
    parts = decision_arrays(loop_version=diary_version(), person_ids=ids[::-1])
    for name, array in vars(whole).items():
        if name != "heads":
            np.testing.assert_array_equal(vars(parts)[name], array, err_msg=name)
    for head, chosen in whole.heads.items():
        for name, array in vars(chosen).items():
            np.testing.assert_array_equal(vars(parts.heads[head])[name], array, err_msg=f"{head} {name}")


def test_a_release_reads_randomised_rows_with_a_reward(stored: dict[str, int]) -> None:
    got = randomised_rows(decision_arrays(loop_version=diary_version(), person_ids=None))
    assert sorted(np.bincount(got.person).tolist()) == [2, 6]  # cat's rows were not randomised, or have no reward
    assert np.isfinite(got.propensity).all() and np.isfinite(got.reward).all()
    ben = got.state[:, 0] == -0.5
    assert got.propensity[ben].tolist() == [0.4]  # given exploration: the logging distribution


def test_an_evaluation_reads_marginal_propensities_and_labels(stored: dict[str, int]) -> None:
    got = evaluation_rows(decision_arrays(loop_version=diary_version(), person_ids=None))
    ben = got.rows.state[:, 0] == -0.5
    assert got.rows.propensity[ben].tolist() == [0.25] and got.harmful[ben].tolist() == [1]
    assert np.isnan(got.empathy).all()


def test_everybody_trains_and_judges() -> None:
    assert evaluation_folds(diary()) == training_folds(diary()) == (0, 10_000)


def test_a_declared_share_is_held_out() -> None:
    held_out = replace(diary(), evaluation_share=0.3)
    assert (evaluation_folds(held_out), training_folds(held_out)) == ((0, 3_000), (3_000, 10_000))
