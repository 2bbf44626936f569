"""Who counts in which test: each person once, with all that they said in whole weeks, in the order of week and hash."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.arrays import Floats
from deployments.engine.evidence.person_weeks import PersonWeeks, TestSample, hash_of

Row = tuple[int, int, bool, float, float]  # week, person, ours, count, total


def table(rows: list[Row], *, closed: int, first: int = 1) -> PersonWeeks:
    columns = np.array(rows, dtype=float).reshape(-1, 5)
    week, person = (columns[:, i].astype(np.int64) for i in (0, 1))
    return PersonWeeks(week, person, columns[:, 2] > 0, columns[:, 3], columns[:, 4:], first, closed)


def people(sample: TestSample) -> list[float]:
    return sorted(sample.values[:, 0].round(6).tolist())


LIVES: list[Row] = [
    (1, 1, True, 2, 0.2), (1, 2, False, 1, 0.2), (2, 1, True, 1, 0.3), (2, 3, True, 4, 1.6),
    (4, 2, False, 1, 0.5), (4, 1, True, 1, 0.7), (4, 4, True, 1, 0.6),
]  # fmt: skip


def by_test(found: PersonWeeks) -> dict[tuple[str, int], TestSample]:
    seen: dict[str, int] = {}
    out: dict[tuple[str, int], TestSample] = {}
    for sample in found.samples:
        seen[sample.over] = seen.get(sample.over, 0) + 1
        out[sample.over, seen[sample.over]] = sample
    return out


def test_a_person_enters_a_test_once_with_their_first_week_since_it_began() -> None:
    tests = by_test(table(LIVES, closed=4))
    assert [people(tests["1 week", k]) for k in (1, 2, 3, 4)] == [
        [0.1, 0.2, 0.4, 0.6], [0.3, 0.4, 0.5, 0.6], [0.5, 0.6, 0.7], [0.5, 0.6, 0.7],
    ]  # fmt: skip


def test_in_a_longer_tile_a_person_counts_with_the_mean_over_all_their_decisions_in_it() -> None:
    tests = by_test(table(LIVES, closed=4))
    assert people(tests["2 weeks", 1]) == pytest.approx([0.5 / 3, 0.2, 0.4, 0.6], abs=1e-6)
    assert people(tests["4 weeks", 1]) == pytest.approx([1.2 / 4, 0.7 / 2, 0.4, 0.6], abs=1e-6)
    assert ("2 weeks", 2) not in tests and ("4 weeks", 2) not in tests


def test_a_tile_that_is_not_closed_is_no_value() -> None:
    tests = by_test(table(LIVES[:4], closed=3))
    assert people(tests["1 week", 3]) == [] and ("4 weeks", 1) not in tests
    assert people(tests["2 weeks", 1]) == pytest.approx([0.5 / 3, 0.2, 0.4], abs=1e-6)


def test_people_stand_in_the_order_of_week_and_hash_whatever_arms_they_are_in() -> None:
    rng = np.random.default_rng(1)
    rows = [(w, p, bool(rng.random() < 0.5), 1.0, p / 1000) for w in (1, 2) for p in rng.permutation(200)]
    (sample, *_), order = table(rows, closed=2).samples, hash_of(np.arange(200))
    assert (sample.values[:, 0] * 1000).round().astype(int).tolist() == np.argsort(order).tolist()
    weeks, _, values, _ = table(rows, closed=2).in_order()
    assert weeks.tolist() == [1] * 200 + [2] * 200 and len(values) == 400


def test_the_order_has_nothing_to_do_with_how_people_came() -> None:
    """Ids count up as people register: neighbours in the order are no neighbours in time (5 sd of chance)."""
    places = np.argsort(np.argsort(hash_of(np.arange(10_000))))
    assert len(set(hash_of(np.arange(10_000)).tolist())) == 10_000
    assert abs(np.corrcoef(places, np.arange(10_000))[0, 1]) < 0.05


def test_first_days_are_a_test_of_their_own_in_the_order_of_first_exposure() -> None:
    found = table([(0, 9, True, 1, 0.9), (0, 1, False, 2, 0.2), *LIVES], closed=4)
    assert found.days.values[:, 0].tolist() == [0.9, 0.1] and found.days.over == "first day"
    assert people(by_test(found)["1 week", 1]) == [0.1, 0.2, 0.4, 0.6], "no day is taken for a week"


def test_what_is_shown_is_each_persons_mean_over_all_weeks() -> None:
    found = table([(0, 9, True, 1, 0.9), *LIVES], closed=4)
    assert sorted(found.person_means(ours=True)) == pytest.approx([1.2 / 4, 0.4, 0.6])
    assert found.person_means(ours=False) == pytest.approx([0.35])
    assert table([], closed=0).person_means(ours=True).size == 0 and not table([], closed=0).samples


def test_where_older_weeks_are_left_out_every_test_keeps_its_share() -> None:
    weeks: list[Row] = [(w, p, True, 1, 0.5) for w in range(1, 13) for p in range(3)]
    whole, cut = by_test(table(weeks, closed=12)), by_test(table([r for r in weeks if r[0] > 4], closed=12, first=5))
    assert cut["1 week", 1].log_weight == whole["1 week", 5].log_weight
    assert cut["4 weeks", 1].log_weight == whole["4 weeks", 2].log_weight
    assert len(cut) == 8 + 2


def test_a_person_who_changes_arms_within_a_tile_still_counts_once() -> None:
    found = by_test(table([(1, 1, False, 1, 0.2), (2, 1, True, 1, 0.4), (2, 2, True, 1, 0.6)], closed=2))
    assert found["2 weeks", 1].values.shape == (2, 1) and found["1 week", 1].values.shape == (2, 1)


def test_in_a_rollout_in_stages_a_person_enters_each_stages_tests_in_the_arm_of_the_stage() -> None:
    """Two stages of four weeks; person 2 moves to the candidate with the second."""
    rows: list[Row] = [(w, p, p == 1 or (p == 2 and w > 4), 1.0, w / 10) for w in range(1, 9) for p in (1, 2, 3)]
    found = replace(table(rows, closed=8), stage_starts=(1, 5))
    weeks = [sample for sample in found.samples if sample.over == "1 week"]
    assert len(weeks) == 8 and weeks[0].ours.sum() == 1 and weeks[4].ours.sum() == 2, "each person once, in every test"
    assert weeks[0].weight == pytest.approx(0.35) and weeks[4].weight > 0.10
    first, second = (sample for sample in found.samples if sample.over == "4 weeks")
    assert first.ours.sum() == 1 and second.ours.sum() == 2
    assert second.values[:, 0] == pytest.approx([0.65] * 3) and first.values[:, 0] == pytest.approx([0.25] * 3)


def test_no_tile_reaches_from_one_stage_into_the_next() -> None:
    rows: list[Row] = [(w, p, p < 3, 1.0, 0.5) for w in range(1, 7) for p in range(9)]
    overs = [s.over for s in replace(table(rows, closed=6), stage_starts=(1, 3, 5)).samples]
    assert overs.count("4 weeks") == 0 and overs.count("2 weeks") == 1 and overs.count("1 week") == 6


def values_of(sample: TestSample) -> Floats:
    return sample.arm(ours=True)


def test_an_arm_is_read_in_order() -> None:
    sample = TestSample("1 week", np.array([[0.1], [0.2], [0.3]]), np.array([True, False, True]), 0.0)
    assert values_of(sample).tolist() == [0.1, 0.3] and sample.weight == 1.0
