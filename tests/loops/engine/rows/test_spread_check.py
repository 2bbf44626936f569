"""Propensities that hold on average over people, and not for each, show in the products of their even and odd days."""

from __future__ import annotations

import numpy as np
import pytest

from loops.engine.rows.assignment_check import AssignmentSums
from loops.engine.rows.spread_check import PeopleSpread
from tests.factories.assignments import HEAD, logged_choice, logged_sums


def spread(
    p: tuple[float, float], logged: float, *, people: int = 200, draws: str = "row", seed: int = 1
) -> PeopleSpread:
    """People of even and odd number get "send" with two probabilities."""
    sums = logged_sums(lambda _, i: p[i % 2], logged=logged, rows=(20,) * people, draws=draws, seed=seed)
    assert all(m.finding != "refuted" for m in sums.means()) and not any(m.is_refuted for m in sums.regions())
    return next(s for s in sums.spreads() if s.action == "send")


def test_a_hidden_stratum_passes_every_mean_and_is_refuted() -> None:
    found = spread((0.2, 0.8), 0.5)
    assert found.finding == "refuted" and found.people == 200
    assert found.spread == pytest.approx(0.6, abs=0.1)  # .3 over .5


def test_one_that_differs_little_is_left_alone() -> None:
    assert spread((0.45, 0.55), 0.5).finding == "agrees"


@pytest.mark.parametrize("draws", ["row", "day"])
def test_right_propensities_agree(draws: str) -> None:
    findings = {spread((0.3, 0.3), 0.3, draws=draws, people=60, seed=seed).finding for seed in range(10)}
    assert findings == {"agrees"}


def test_an_action_drawn_once_a_person_is_told_from_a_stratum() -> None:
    found = spread((0.3, 0.3), 0.3, draws="person")
    assert found.finding == "once a person" and found.spread > 1


def test_rows_of_one_day_say_nothing() -> None:
    sums = logged_sums(lambda *_: 0.3, rows=(4,) * 100)
    assert {(s.people, s.finding) for s in sums.spreads()} == {(0, "too few people")}


def test_draws_that_follow_the_last_action_agree() -> None:
    """Serially dependent actions, each drawn with the probability that is logged for its row."""
    rng, sums = np.random.default_rng(3), AssignmentSums([HEAD], explored=False)
    for person in range(150):
        p = 0.3
        for t in range(40):
            action = int(rng.random() < p)
            sums.add(f"u{person}", {"policy": logged_choice(action, (1 - p, p))}, even=t % 2 == 0)
            p = 0.8 if action else 0.1
    assert {s.finding for s in sums.spreads()} == {"agrees"}
