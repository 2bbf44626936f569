"""The three answers of the gate and the level each attempt is tested at."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.engine.gates.decision_rule import Direction, attempt_alpha, equivalence, futility_bound, verdict
from training.engine.intervals.clustered import Interval, users_needed


def interval(low: float, high: float, **other: float) -> Interval:
    known: dict[str, Any] = {"se": (high - low) / 3.29, "dof": 60.0, "ess": 400.0, "users": 120.0} | other
    return Interval((low + high) / 2, low, high, level=0.90, **known)


class TestVerdict:
    @pytest.mark.parametrize(
        ("low", "high", "bar", "direction", "answer"),
        [
            (0.01, 0.05, 0.0, "above", "pass"),
            (0.00, 0.05, 0.0, "above", "insufficient"),
            (-0.05, 0.01, 0.0, "above", "insufficient"),
            (-0.05, -0.01, 0.0, "above", "fail"),
            (0.75, 0.85, 0.75, "at_least", "pass"),
            (0.74, 0.85, 0.75, "at_least", "insufficient"),
            (0.60, 0.74, 0.75, "at_least", "fail"),
            (0.02, 0.10, 0.10, "at_most", "pass"),
            (0.02, 0.11, 0.10, "at_most", "insufficient"),
            (0.11, 0.19, 0.10, "at_most", "fail"),
        ],
    )
    def test_a_bound_decides_and_an_estimate_does_not(
        self, low: float, high: float, bar: float, direction: Direction, answer: str
    ) -> None:
        assert verdict(interval(low, high), bar, direction).answer == answer

    def test_too_few_people_decide_nothing_however_clear_the_interval(self) -> None:
        for short in ({"ess": 49.0}, {"dof": 7.9}):
            assert verdict(interval(0.2, 0.3, **short), 0.0, "above").answer == "insufficient"
            assert verdict(interval(-0.3, -0.2, **short), 0.0, "above").answer == "insufficient"

    def test_an_improvement_that_cannot_reach_two_percent_of_the_reference_fails(self) -> None:
        tie = interval(-0.010, 0.012)
        assert verdict(tie, 0.0, "above").answer == "insufficient"
        assert verdict(tie, 0.0, "above", futility=futility_bound(0.7)).answer == "fail"
        assert verdict(tie, 0.0, "above", futility=futility_bound(0.5)).answer == "insufficient"

    def test_a_proven_small_improvement_still_passes(self) -> None:
        assert verdict(interval(0.001, 0.012), 0.0, "above", futility=futility_bound(0.7)).answer == "pass"

    def test_the_reference_itself_as_candidate_fails_instead_of_staying_undecided(self) -> None:
        same = interval(0.0, 0.0, ess=math.inf)
        assert verdict(same, 0.0, "above", futility=futility_bound(0.7)).answer == "fail"

    def test_a_later_attempt_may_fail_at_its_own_level(self) -> None:
        strict, plain = interval(-0.06, 0.02), interval(-0.04, -0.001)
        assert verdict(strict, 0.0, "above").answer == "insufficient"
        assert verdict(strict, 0.0, "above", fail_interval=plain).answer == "fail"

    def test_an_undecided_metric_says_how_many_people_the_declared_effect_takes(self) -> None:
        wide = interval(-0.05, 0.11)
        answer = verdict(wide, 0.0, "above", min_effect=0.03, name="the improvement")
        assert answer.users_needed == users_needed(wide, 0.03, level=0.95)
        assert f"about {answer.users_needed:,.0f} people" in answer.reason
        assert verdict(wide, 0.0, "above", needed=4321).users_needed == 4321
        assert verdict(wide, 0.0, "above", needed=math.inf).users_needed is None

    @pytest.mark.parametrize(("low", "high"), [(0.01, 0.05), (-0.05, -0.01), (-0.05, 0.05)])
    def test_the_reason_is_one_sentence_with_its_numbers(self, low: float, high: float) -> None:
        reason = verdict(interval(low, high), 0.0, "above", name="the improvement").reason
        assert reason.startswith("the improvement") and reason.endswith(".")
        assert ". " not in reason and "inf" not in reason and "nan" not in reason


class TestEquivalence:
    @pytest.mark.parametrize(
        ("low", "high", "answer"),
        [
            (-0.04, 0.049, "pass"),
            (-0.05, 0.01, "insufficient"),
            (-0.02, 0.06, "insufficient"),
            (0.05, 0.09, "fail"),
            (-0.2, -0.06, "fail"),
        ],
    )
    def test_inside_outside_or_astride_the_margin(self, low: float, high: float, answer: str) -> None:
        assert equivalence(interval(low, high), 0.05).answer == answer

    def test_refuses_an_interval_of_another_level(self) -> None:
        with pytest.raises(ValueError, match="90%"):
            equivalence(Interval(0.0, -0.01, 0.01, 0.005, 60, 400, 120), 0.05)

    def test_too_few_people_are_not_equivalence(self) -> None:
        assert equivalence(interval(-0.01, 0.01, ess=10.0), 0.05).answer == "insufficient"


class TestAttempts:
    def test_first_attempts(self) -> None:
        assert attempt_alpha(1) == pytest.approx(0.0303963551)
        assert attempt_alpha(2) == pytest.approx(0.0303963551 / 4)
        assert attempt_alpha(1, candidates=4) == pytest.approx(0.0303963551 / 4)

    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 3000), st.integers(1, 20))
    def test_all_attempts_together_never_spend_more_than_five_percent(self, attempts: int, candidates: int) -> None:
        spent = sum(candidates * attempt_alpha(k, candidates) for k in range(1, attempts + 1))
        assert 0 < spent < 0.05

    def test_counted_from_one(self) -> None:
        with pytest.raises(ValueError):
            attempt_alpha(0)
