"""An error in one region of states is seen there, although the mean over the whole file is nearly 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from loops.engine.rows.assignment_check import AssignmentSums
from loops.engine.rows.region_check import RegionMean, person_group
from loops.engine.spec import Head
from tests.factories.assignments import FEATURES, HEAD, axes, logged_choice, logged_sums, spec_with

THREE = Head("policy", ("wait", "send", "hug"), "wait", (0.4, 0.3, 0.3))


def refuted(sums: AssignmentSums) -> list[RegionMean]:
    return [m for m in sums.regions() if m.is_refuted]


class TestAGap:
    @pytest.mark.parametrize(
        ("gap", "region"),
        [(lambda c: float(c["need"]) >= 0.9, "need is 0.9 to 1"), (lambda c: c["place"] == "out", "place is out")],
    )
    def test_in_a_tenth_of_the_rows_passes_the_mean_and_not_the_region(
        self, gap: Callable[[Mapping[str, str]], bool], region: str
    ) -> None:
        sums = logged_sums(lambda cells, _: 0.0 if gap(cells) else 0.3)
        assert [m.finding for m in sums.means()] == ["agrees", "agrees"]
        (worst, *_) = refuted(sums)
        assert (worst.action, worst.region, worst.finding) == ("send", region, "never logged")
        assert worst.rows == pytest.approx(400, abs=80) and worst.expected == pytest.approx(0.3 * worst.rows)

    def test_that_is_not_quite_empty_is_refuted(self) -> None:
        sums = logged_sums(lambda cells, _: 0.03 if cells["place"] == "out" else 0.3)
        (worst, *_) = refuted(sums)
        assert (worst.action, worst.region, worst.finding) == ("send", "place is out", "refuted")
        assert 0 < worst.mean < worst.high < 0.7

    def test_is_seen_where_the_file_gives_the_propensity_of_the_action_taken(self) -> None:
        rng, sums = np.random.default_rng(2), AssignmentSums([THREE], axes(), explored=False)
        for i in range(6_000):
            place, p = ("home", "work", "out")[i % 3], np.array(THREE.logging)
            true = np.array([0.7, 0.3, 0.0]) if place == "out" else p
            a = int(rng.choice(3, p=true))
            given = [p[a] if a == j else math.nan for j in range(3)]
            cells = {"need": "0.5", "steps": "1", "place": place}
            sums.add(f"u{rng.integers(300)}", {"policy": logged_choice(a, given)}, cells)
        assert {(m.action, m.region) for m in refuted(sums)} == {("wait", "place is out"), ("hug", "place is out")}

    def test_over_explored_rows_is_seen_though_marginal_propensities_are_right(self) -> None:
        rng, sums = np.random.default_rng(3), AssignmentSums([HEAD], axes(), explored=True)
        for i in range(6_000):
            is_out = i % 3 == 2
            explored = bool(rng.random() < 0.5)
            true = 0.0 if is_out and explored else 0.3
            p = true if is_out and explored else 0.3 if explored else 0.5
            a = int(rng.random() < p)
            cells = {"need": "0.5", "steps": "1", "place": "out" if is_out else "home"}
            marginal = 0.25 if is_out else 0.4
            sums.add(f"u{i % 200}", {"policy": logged_choice(a, (1 - marginal, marginal), explored=explored)}, cells)
        found = {(m.among, m.action, m.region) for m in refuted(sums)}
        assert ("explored", "send", "place is out") in found and all(among == "explored" for among, *_ in found)


class TestNoGap:
    @pytest.mark.parametrize("draws", ["row", "day", "person"])
    def test_right_propensities_are_not_refuted(self, draws: str) -> None:
        rows = tuple(int(n) for n in np.random.default_rng(4).integers(1, 60, 60))
        found = [
            m for seed in range(15) for m in refuted(logged_sums(lambda *_: 0.3, rows=rows, draws=draws, seed=seed))
        ]
        assert not found

    def test_a_gap_of_under_ten_people_is_left_alone(self) -> None:
        rows = (400,) * 9
        assert not refuted(logged_sums(lambda cells, _: 0.0 if cells["place"] == "out" else 0.3, rows=rows))

    def test_an_action_that_was_never_logged_at_all_is_no_error(self) -> None:
        assert not logged_sums(lambda *_: 0.0, logged=0.05, rows=(2,) * 100).regions()

    def test_certain_rows_say_nothing(self) -> None:
        rng, sums = np.random.default_rng(5), AssignmentSums([HEAD], axes(), explored=False)
        for i in range(4_000):
            is_out = i % 10 == 0
            row = logged_choice(0, (1, math.nan)) if is_out else logged_choice(int(rng.random() < 0.3), (0.7, 0.3))
            cells = {"need": "0.5", "steps": "1", "place": "out" if is_out else "home"}
            sums.add(f"u{i % 101}", {"policy": row}, cells)
        assert [(m.action, m.region, m.finding) for m in sums.regions()] == [("send", "place is out", "impossible")]

    def test_an_action_with_propensity_0_in_a_region_is_named_as_impossible_there(self) -> None:
        rng, sums = np.random.default_rng(6), AssignmentSums([THREE], axes(), explored=False)
        for i in range(4_000):
            is_out = i % 10 == 0
            p = (0.6, 0.4, 0.0) if is_out else (0.4, 0.3, 0.3)
            cells = {"need": "0.5", "steps": "1", "place": "out" if is_out else "home"}
            sums.add(f"u{i % 101}", {"policy": logged_choice(int(rng.choice(3, p=p)), p)}, cells)
        (found,) = sums.regions()
        assert (found.action, found.region, found.finding, found.rows) == ("hug", "place is out", "impossible", 400)


def test_the_order_of_rows_does_not_matter() -> None:
    rng, spec = np.random.default_rng(7), spec_with(FEATURES)
    rows = [
        (f"u{rng.integers(80)}", {"need": f"{rng.random()}", "steps": "1", "place": "home"}, int(rng.random() < 0.1))
        for _ in range(3_000)
    ]
    results = []
    for order in (rows, rows[::-1]):
        sums = AssignmentSums([HEAD], axes(spec), explored=False)
        for user, cells, action in order:
            sums.add(user, {"policy": logged_choice(action, HEAD.logging)}, cells)
        results.append({(m.action, m.region): (m.rows, m.mean, m.low, m.high) for m in refuted(sums)})
    assert results[0].keys() == results[1].keys() and len(results[0]) >= 5
    for key, numbers in results[0].items():
        np.testing.assert_allclose(numbers, results[1][key], rtol=1e-9)


def test_people_fall_into_groups_by_their_name_alone() -> None:
    groups = [person_group(f"u{i}") for i in range(6_400)]
    assert min(groups) == 0 and max(groups) == 63 and max(np.bincount(groups)) < 160
    assert person_group("ann") == person_group("ann") and isinstance(person_group("\udce9"), int)
