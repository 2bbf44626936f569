from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loops.engine.spec import Feature
from loops.engine.state.dynamics import advance_known
from tests.factories.builtin_loops import builtin
from tests.factories.loops import bounds, of_features, states_of

YES, NO = np.array([True]), np.array([False])


def advanced(feature: Feature, value: float, *, intervened: bool = False, per_day: int = 4) -> float:
    got = advance_known(of_features(feature, per_day=per_day), np.array([[value]]), YES if intervened else NO)
    return float(got[0, 0])


class TestSinceIntervention:
    gap = Feature("gap", "since_intervention", bounds=(0.0, 1.0), step=0.25)

    @pytest.mark.parametrize(("before", "after"), [(0.0, 0.25), (0.5, 0.75), (0.9, 1.0), (1.0, 1.0)])
    def test_grows_by_its_step_to_its_upper_bound(self, before: float, after: float) -> None:
        assert advanced(self.gap, before) == after

    def test_begins_again_after_an_intervention(self) -> None:
        assert advanced(self.gap, 0.7, intervened=True) == 0.0
        assert advanced(Feature("gap", "since_intervention", bounds=(2.0, 8.0), step=1.0), 7.0, intervened=True) == 2.0


class TestRecentLoad:
    load = Feature("load", "recent_load", bounds=(0.0, 1.0), decay=0.8)

    @pytest.mark.parametrize(
        ("before", "did", "after"), [(0.5, False, 0.4), (0.5, True, 0.6), (0.0, True, 0.2), (1.0, True, 1.0)]
    )
    def test_golden_steps(self, before: float, did: bool, after: float) -> None:
        assert advanced(self.load, before, intervened=did) == pytest.approx(after, abs=1e-15)

    def test_a_decay_of_zero_remembers_the_last_point_alone(self) -> None:
        load = Feature("load", "recent_load", bounds=(0.0, 1.0), decay=0.0)
        assert [advanced(load, 0.7, intervened=did) for did in (False, True)] == [0.0, 1.0]

    @given(bounds(), st.floats(0, 1), st.floats(0, 0.9999), st.booleans())
    def test_never_leaves_its_bounds(self, limits: tuple[float, float], at: float, decay: float, did: bool) -> None:
        low, high = limits
        feature = Feature("load", "recent_load", bounds=limits, decay=decay)
        slack = 1e-12 * (abs(low) + abs(high))
        assert low - slack <= advanced(feature, low + at * (high - low), intervened=did) <= high + slack


class TestClock:
    @pytest.mark.parametrize("did", [False, True])
    def test_categories_go_round_whatever_was_done(self, did: bool) -> None:
        clock = Feature("daypart", "clock", categories=("morning", "noon", "night"))
        assert [advanced(clock, v, intervened=did) for v in (0.0, 1.0, 2.0)] == [1.0, 2.0, 0.0]

    @given(bounds(), st.integers(1, 1_440))
    def test_a_number_comes_round_once_a_day(self, limits: tuple[float, float], per_day: int) -> None:
        clock = of_features(Feature("hour", "clock", bounds=limits), per_day=per_day)
        state, seen = np.array([[limits[0]]]), []
        for _ in range(per_day):
            seen.append(float(state[0, 0]))
            state = advance_known(clock, state, NO)
        assert state[0, 0] == pytest.approx(limits[0], abs=1e-6 * (limits[1] - limits[0]))
        assert all(b > a for a, b in pairwise(seen))


class TestTheRest:
    def test_only_known_dynamics_move(self) -> None:
        spec = builtin("r3al")
        states = states_of(spec, 50)
        moved = advance_known(spec, states, np.arange(50) % 2 == 0) != states
        known = spec.features_with("since_intervention", "recent_load", "clock")
        assert not np.delete(moved, known, axis=1).any()
        assert moved[:, known].any(axis=0).all()

    def test_a_constant_stays(self) -> None:
        assert advanced(Feature("age", "constant", bounds=(18.0, 99.0)), 40.0, intervened=True) == 40.0

    def test_the_states_are_left_as_they_were(self) -> None:
        spec = builtin("r3al")
        states = states_of(spec, 5)
        before = states.copy()
        advance_known(spec, states, np.ones(5, dtype=bool))
        assert (states == before).all()

    def test_each_row_goes_its_own_way(self) -> None:
        spec = builtin("r3al")
        states, did = states_of(spec, 20), np.arange(20) % 3 == 0
        one_by_one = [advance_known(spec, states[i : i + 1], did[i : i + 1])[0] for i in range(20)]
        assert (advance_known(spec, states, did) == np.stack(one_by_one)).all()
