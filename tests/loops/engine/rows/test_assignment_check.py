"""The mean of 1{a}/p over randomised rows is 1 for right propensities, and far from it for wrong ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from loops.engine.rows.assignment_check import AssignmentMean, AssignmentSums
from loops.engine.rows.choices import LoggedChoice
from loops.engine.spec import Head

TWO = Head("policy", ("wait", "speak"), "wait", (0.6, 0.4))
THREE = Head("policy", ("wait", "speak", "hug"), "wait", (0.4, 0.3, 0.3))


def choice(action: int, probabilities: Sequence[float], explored: bool = True) -> LoggedChoice:
    p = float(probabilities[action])
    return LoggedChoice(action, p, p, explored, tuple(map(float, probabilities)))


def checked(
    head: Head,
    true: Sequence[float],
    logged: Sequence[float] | None = None,
    *,
    rows: Sequence[int] = (10,) * 100,
    seed: int = 1,
    known: bool = True,
    by_person: bool = False,
) -> dict[str, AssignmentMean]:
    """Draw actions with probabilities ``true`` for people with this many rows, log ``logged``, and check."""
    rng = np.random.default_rng(seed)
    sums = AssignmentSums([head], explored=False)
    for person, count in enumerate(rows):
        once = int(rng.choice(len(true), p=true))
        for _ in range(count):
            action = once if by_person else int(rng.choice(len(true), p=true))
            p = logged or true
            given = p if known else [p[a] if a == action else math.nan for a in range(len(p))]
            sums.add(f"u{person}", {"policy": choice(action, given)})
    return {m.action: m for m in sums.means()}


def findings(means: dict[str, AssignmentMean]) -> list[str]:
    return [m.finding for m in means.values()]


class TestRightPropensities:
    @pytest.mark.parametrize("known", [True, False])
    def test_agree(self, known: bool) -> None:
        means = checked(THREE, (0.5, 0.3, 0.2), known=known)
        assert findings(means) == ["agrees"] * 3
        assert means["wait"].rows == 1_000 and means["wait"].people == 100
        assert means["wait"].mean == pytest.approx(1, abs=0.1)

    def test_are_seldom_refuted(self) -> None:
        """400 files of right propensities: at level .95 of all intervals together, at most 20 are expected."""
        cells = [(0.9, 0.1), (0.97, 0.03)]
        refuted = sum(
            "refuted" in findings(checked(TWO, cell, rows=(10,) * 30, seed=seed))
            for cell in cells
            for seed in range(200)
        )
        assert refuted <= 20

    def test_of_a_rare_action_leave_a_wide_interval(self) -> None:
        rare = checked(THREE, (0.499, 0.499, 0.002), rows=(8,) * 1_000, known=False)["hug"]
        assert rare.finding == "agrees" and rare.low is not None and rare.high is not None
        assert rare.high - rare.low > 0.5

    def test_drawn_once_a_person_are_judged_by_people(self) -> None:
        low, high = (checked(TWO, (0.6, 0.4), rows=(50,) * 40, by_person=p)["speak"] for p in (False, True))
        assert low.low is not None and low.high is not None and high.low is not None and high.high is not None
        assert high.high - high.low > 3 * (low.high - low.low)


class TestWrongPropensities:
    def test_of_the_other_action_are_refuted(self) -> None:
        assert findings(checked(TWO, (0.7, 0.3), (0.3, 0.7))) == ["refuted", "refuted"]

    def test_are_refuted_where_one_person_has_most_rows(self) -> None:
        rows = (3_600,) + (10,) * 40
        assert findings(checked(TWO, (0.7, 0.3), rows=rows)) == ["agrees", "agrees"]
        assert findings(checked(TWO, (0.7, 0.3), (0.3, 0.7), rows=rows)) == ["refuted", "refuted"]

    def test_are_refuted_although_one_row_has_a_tiny_propensity(self) -> None:
        """One row of p = .000001 widens the interval of its action beyond use. Capped weights still refute the others."""
        rng, sums = np.random.default_rng(8), AssignmentSums([TWO], explored=False)
        for i in range(2_000):
            sums.add(f"u{i % 200}", {"policy": choice(int(rng.random() < 0.2), (0.2, 0.8))})
        for action, p in ((0, (1e-6, 1 - 1e-6)), (1, (1 - 1e-6, 1e-6))):
            sums.add("u0", {"policy": choice(action, p)})
        assert "refuted" in [m.finding for m in sums.means()]

    def test_have_a_mean_of_the_people_that_the_interval_is_of(self) -> None:
        """Where everybody counts alike in the interval, one person's 5,000 rows must not make the mean."""
        sums = AssignmentSums([TWO], explored=False)
        for person in range(40):
            for row in range(10):
                sums.add(f"u{person}", {"policy": choice(row % 2, (0.5, 0.5))})
        for _ in range(5_000):
            sums.add("most", {"policy": choice(0, (0.5, 0.5))})
        for m in sums.means():
            assert m.low is not None and m.high is not None and m.low <= m.mean <= m.high

    def test_are_not_hidden_by_a_tiny_propensity_of_an_action_not_taken(self) -> None:
        sums = AssignmentSums([TWO], explored=False)
        for person in range(100):
            sums.add(f"u{person}", {"policy": choice(1, (0.5, 0.5))})
        sums.add("zoe", {"policy": choice(1, (1e-310, 0.9))})
        (wait, speak) = sums.means()
        assert (wait.finding, speak.finding) == ("never logged", "refuted") and math.isfinite(speak.mean)

    def test_of_five_people_stay_unchecked(self) -> None:
        means = checked(TWO, (0.7, 0.3), (0.3, 0.7), rows=(200,) * 5)
        assert findings(means) == ["too few people"] * 2 and means["wait"].low is None


class TestNeverAndCertain:
    def test_an_action_that_was_never_logged_is_no_error(self) -> None:
        means = checked(THREE, (0.5, 0.5, 0.0), known=False)
        assert findings(means) == ["agrees", "agrees", "never logged"] and means["hug"].mean == 0

    def test_certain_rows_are_left_out_where_others_were_drawn(self) -> None:
        rng = np.random.default_rng(3)
        sums = AssignmentSums([TWO], explored=False)
        for i in range(1_000):
            sums.add(f"u{i % 50}", {"policy": choice(0, (1, 0)) if i % 2 else choice(int(rng.integers(2)), (0.5, 0.5))})
        assert findings({m.action: m for m in sums.means()}) == ["agrees", "agrees"]
        assert sums.certain_rows == {"policy": 500} and sums.rows == {"policy": 1_000}

    @pytest.mark.parametrize(
        ("actions", "expected"), [((0,), ["agrees", "never logged"]), ((0, 1), ["refuted", "refuted"])]
    )
    def test_certain_rows_alone_hold_one_action(self, actions: tuple[int, ...], expected: list[str]) -> None:
        """A file in which every row was certain, and yet the action varies, does not hold propensities of draws."""
        sums = AssignmentSums([TWO], explored=False)
        for i in range(400):
            sums.add(f"u{i % 40}", {"policy": choice(actions[(i // 40) % len(actions)], (1, 1))})
        assert [m.finding for m in sums.means()] == expected

    def test_an_impossible_action_is_judged_where_it_was_possible(self) -> None:
        rng = np.random.default_rng(4)
        sums = AssignmentSums([THREE], explored=False)
        for i in range(2_000):
            p = (0.5, 0.5, 0.0) if i % 2 else (0.4, 0.3, 0.3)
            sums.add(f"u{i % 100}", {"policy": choice(int(rng.choice(3, p=p)), p)})
        means = {m.action: m for m in sums.means()}
        assert findings(means) == ["agrees"] * 3 and means["hug"].rows == 1_000


class TestExploredRows:
    @pytest.mark.parametrize(("drawn", "finding"), [((0.6, 0.4), "agrees"), ((0.3, 0.7), "refuted")])
    def test_follow_the_declared_logging(self, drawn: tuple[float, float], finding: str) -> None:
        """A served policy speaks at every row that it does not explore: the marginal propensities are .3 and .7."""
        rng = np.random.default_rng(5)
        sums = AssignmentSums([TWO], explored=True)
        for i in range(4_000):
            explored = bool(rng.random() < 0.5)
            action = int(rng.choice(2, p=drawn)) if explored else 1
            marginal = (drawn[0] / 2, 1 - drawn[0] / 2)
            sums.add(f"u{i % 100}", {"policy": choice(action, marginal, explored)})
        by = {among: [m.finding for m in sums.means() if m.among == among] for among in ("logged", "explored")}
        assert by == {"logged": ["agrees"] * 2, "explored": [finding] * 2}

    def test_alone_are_judged_where_propensities_are_given_the_flag(self) -> None:
        """A policy that is certain where it does not explore, logged with p = 1."""
        rng = np.random.default_rng(6)
        sums = AssignmentSums([TWO], explored=True)
        for i in range(2_000):
            explored = bool(rng.random() < 0.5)
            row = choice(int(rng.choice(2, p=(0.6, 0.4))), (0.6, 0.4)) if explored else choice(1, (0, 1), False)
            sums.add(f"u{i % 100}", {"policy": row})
        assert [m.finding for m in sums.means()] == ["agrees"] * 4


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(7)
    rows = [(f"u{rng.integers(30)}", choice(int(rng.integers(2)), (0.5, 0.5))) for _ in range(600)]
    results = []
    for order in (rows, rows[::-1], sorted(rows, key=lambda r: r[0])):
        sums = AssignmentSums([TWO], explored=False)
        for user, c in order:
            sums.add(user, {"policy": c})
        results.append([(m.rows, m.people, m.mean, m.low, m.high) for m in sums.means()])
    for one, other in pairwise(results):
        np.testing.assert_allclose(np.array(one, dtype=float), np.array(other, dtype=float), rtol=1e-12)
