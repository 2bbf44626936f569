"""From words to one outcome: the loop's rule, its public bounds, its default."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loops.engine.parse.loop import parse_loop
from loops.engine.reward import BOUNDS, COMPONENTS, largest_total
from loops.engine.spec import LoopSpec, RewardAggregate
from privacy.engine.outcomes import (
    aggregate,
    harmful_of,
    harms,
    payload_of_components,
    payload_of_inputs,
    payload_of_total,
)
from tests.factories.loops import SOURCE

NAN = float("nan")
R3AL = parse_loop(SOURCE, source="r3al.toml")


def loop(rule: RewardAggregate = "earliest", default: float | None = None, **more: Any) -> LoopSpec:
    return replace(R3AL, reward=replace(R3AL.reward, aggregate=rule, default=default, **more))


class TestAggregate:
    @pytest.mark.parametrize(("rule", "total"), [("earliest", 0.1), ("latest", 0.6), ("sum", 0.9), ("mean", 0.3)])
    def test_totals_by_the_loops_rule_in_the_order_of_arrival(self, rule: RewardAggregate, total: float) -> None:
        words = [payload_of_total(t) for t in (NAN, 0.1, 0.2, 0.6)]
        out = aggregate(loop(rule), words)
        assert out[0] == pytest.approx(total) and np.isnan(out[1:]).all()

    def test_components_come_from_several_words_and_make_the_total(self) -> None:
        spec = loop("latest")
        words = [payload_of_components(spec, c) for c in ({"sentiment": 0.5}, {"engagement": 0.2}, {"sentiment": 1.0})]
        out = aggregate(spec, words)
        assert out[1:3].tolist() == [1.0, 0.2] and out[0] == pytest.approx(0.4 * 1.0 + 0.4 * 0.2)

    def test_a_bare_total_beside_components_is_aggregated_like_them(self) -> None:
        spec = loop("mean")
        out = aggregate(spec, [payload_of_components(spec, {"sentiment": 0.5}), payload_of_total(0.4)])
        assert out[0] == pytest.approx((0.4 * 0.5 + 0.4) / 2) and out[1] == 0.5

    def test_silence_is_the_default_of_an_available_decision_only(self) -> None:
        silent = payload_of_total(NAN)
        for words in ([], [silent]):
            assert aggregate(loop(default=-0.1), words)[0] == -0.1
            assert np.isnan(aggregate(loop(default=-0.1), words, available=False)).all()
            assert np.isnan(aggregate(loop(), words)).all()

    @given(
        st.lists(st.floats(-10.0, 10.0), min_size=1, max_size=50),
        st.lists(st.dictionaries(st.sampled_from(COMPONENTS), st.floats(-1e9, 1e9), min_size=1), max_size=20),
    )
    def test_however_many_words_came_the_outcome_keeps_the_bounds_of_one(
        self, totals: list[float], parts: list[dict[str, float]]
    ) -> None:
        spec = loop("sum")
        out = aggregate(spec, [payload_of_total(t) for t in totals] + [payload_of_components(spec, p) for p in parts])
        assert abs(out[0]) <= largest_total(spec)
        for value, name in zip(out[1:], COMPONENTS, strict=True):
            assert np.isnan(value) or BOUNDS[name][0] <= value <= BOUNDS[name][1]

    @pytest.mark.parametrize("rule", ["earliest", "latest", "sum", "mean"])
    def test_one_stored_event_beyond_the_bound_counts_as_the_bound(self, rule: RewardAggregate) -> None:
        """An older version took any total. Two of them would overflow, and opposite ones give no number."""
        spec = loop(rule)
        largest = largest_total(spec)
        assert aggregate(spec, [payload_of_total(1e308)] * 2)[0] == pytest.approx(largest)
        opposite = [payload_of_total(t) for t in (1e308, -1e308, 0.3)]
        expected = {"earliest": largest, "latest": 0.3, "sum": 0.3, "mean": 0.1}[rule]
        assert aggregate(spec, opposite)[0] == pytest.approx(expected)


class TestTotals:
    def test_the_bound_is_what_weights_and_components_allow(self) -> None:
        """.4 x 2 + .4 x 1 + .2 + .1 + .1 = 1.6, where 20 reward scales are less."""
        weights = {"uptake": 0.0}
        assert largest_total(loop(weights=weights, scale=0.05)) == pytest.approx(1.6)

    def test_or_twenty_reward_scales_where_that_is_more(self) -> None:
        assert largest_total(loop(weights={}, scale=3.0)) == 60.0


class TestEmpathy:
    """Without a rating, empathy is how the action suits the state: here ``talk`` the better the lower ``x``."""

    SPEC = loop(appropriateness={R3AL.head("policy").actions[1]: f"-{R3AL.features[0].name}"})

    def empathy(self, first: float, action: int | None, **inputs: float) -> float:
        state = np.zeros(len(R3AL.features))
        state[0] = first
        return float(payload_of_inputs(self.SPEC, inputs, state=state, action=action)[1 + COMPONENTS.index("empathy")])

    def test_it_is_scaled_by_the_features_bounds(self) -> None:
        low, high = R3AL.features[0].range
        assert self.empathy(low, 1) == 1.0 and self.empathy(high, 1) == 0.0
        assert self.empathy(low + (high - low) / 4, 1) == pytest.approx(0.75)

    def test_a_rating_goes_first(self) -> None:
        assert self.empathy(0.0, 1, rating=0.3) == 0.3

    def test_it_is_unknown_where_the_loop_says_nothing_of_the_action_or_nothing_was_chosen(self) -> None:
        assert np.isnan(self.empathy(0.0, 0)) and np.isnan(self.empathy(0.0, None))


class TestHarm:
    def test_a_label_harms_whatever_its_case(self) -> None:
        spec = loop(harmful_labels=("Dismissed", "not now"))
        assert [harms(spec, label) for label in ("dismissed", " NOT NOW ", "thanks")] == [True, True, False]

    def test_one_harmful_label_is_enough_and_silence_is_not_a_label(self) -> None:
        assert harmful_of([None, False, True, False]) is True
        assert harmful_of([None, False]) is False
        assert harmful_of([None]) is None and harmful_of([]) is None


def test_the_best_delay_is_that_of_the_action_that_says_when() -> None:
    """Shown six hours later: right for "this_evening", far too late for "now"."""
    state, timing = np.zeros(len(R3AL.features)), 1 + COMPONENTS.index("timing")
    got = {
        name: payload_of_inputs(R3AL, {"delay": 6 * 3600.0}, state=state, action=1, timing=i)[timing]
        for i, name in enumerate(R3AL.timing_head.actions)
    }
    assert got["this_evening"] == 1.0 and got["now"] == pytest.approx(np.exp(-6.0))
