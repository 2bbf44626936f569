from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loops.engine.features import FeatureMap
from loops.engine.spec import Feature
from loops.engine.state.support import _support, known_support
from tests.factories.builtin_loops import builtin
from tests.factories.loops import bounds, of_features, states_of

SMALL = of_features(
    Feature("mood", "learned", bounds=(-1.0, 1.0), scale=0.1),
    Feature("place", "drift", categories=("home", "work", "other")),
    Feature("heat", "drift", bounds=(0.0, 40.0), scale=4.0),
    Feature("gap", "since_intervention", bounds=(0.0, 1.0), step=0.1),
)


class TestColumns:
    def test_their_names_in_order(self) -> None:
        assert FeatureMap.of(SMALL, False).names == ("1", "mood", "place=work", "place=other", "heat", "gap")

    def test_hinges_come_last_and_only_for_numbers_that_are_learned_or_drift(self) -> None:
        phi = FeatureMap.of(SMALL, True)
        assert phi.names[6:] == ("|mood|", "|heat|")
        assert phi.hinge_columns == (6, 7)
        assert FeatureMap.of(SMALL, False).hinge_columns == ()

    @pytest.mark.parametrize(("name", "linear", "hinged"), [("r3al", 11, 16), ("heartsteps", 10, 12)])
    def test_widths_of_the_loops_that_come_with_the_project(self, name: str, linear: int, hinged: int) -> None:
        # r3al: 1 + 7 numbers + 3 of 4 dayparts, + 5 hinges; heartsteps: 1 + 3 numbers + 2 of 3 places + 4 of 5 slots, + 2.
        assert [FeatureMap.of(builtin(name), h).width for h in (False, True)] == [linear, hinged]

    @pytest.mark.parametrize(("feature", "columns"), [("mood", (1,)), ("place", (2, 3)), ("heat", (4,)), ("gap", (5,))])
    def test_of_a_feature(self, feature: str, columns: tuple[int, ...]) -> None:
        assert FeatureMap.of(SMALL, True).columns_of(feature) == columns

    def test_of_features_whose_names_read_like_other_columns(self) -> None:
        spec = of_features(
            Feature("1", "constant", bounds=(0.0, 1.0)),
            Feature("a", "drift", categories=("x", "y")),
            Feature("a=y", "constant", bounds=(0.0, 1.0)),
        )
        phi = FeatureMap.of(spec, True)
        assert [phi.columns_of(n) for n in ("1", "a", "a=y")] == [(1,), (2,), (3,)]


class TestPhi:
    def test_a_state_worked_by_hand(self) -> None:
        got = FeatureMap.of(SMALL, True).phi(np.array([[0.5, 2.0, 10.0, 0.25]]))
        assert got.tolist() == [[1.0, 0.5, 0.0, 1.0, -0.5, -0.5, 0.0, 0.0]]

    def test_the_first_category_has_no_column(self) -> None:
        got = FeatureMap.of(SMALL, False).phi(np.array([[0.0, k, 20.0, 0.5] for k in (0.0, 1.0, 2.0)]))
        assert got[:, 2:4].tolist() == [[0, 0], [1, 0], [0, 1]]

    def test_numbers_outside_their_bounds_are_clamped(self) -> None:
        got = FeatureMap.of(SMALL, True).phi(np.array([[9.0, 0.0, -5.0, 2.0]]))
        assert got[0, [1, 4, 5, 6, 7]].tolist() == [1.0, -1.0, 1.0, 1.0, 1.0]

    def test_a_hinge_is_lowest_in_the_middle(self) -> None:
        mood = np.linspace(-1, 1, 5)
        states = np.stack([mood, 0 * mood, 20 + 0 * mood, 0 * mood], axis=1)
        assert FeatureMap.of(SMALL, True).phi(states)[:, 6].tolist() == [1.0, 0.0, -1.0, 0.0, 1.0]

    def test_no_states_give_no_rows(self) -> None:
        assert FeatureMap.of(SMALL, True).phi(np.empty((0, 4))).shape == (0, 8)

    def test_the_states_are_left_as_they_were(self) -> None:
        states = np.array([[9.0, 1.0, -5.0, 2.0]])
        FeatureMap.of(SMALL, True).phi(states)
        assert states.tolist() == [[9.0, 1.0, -5.0, 2.0]]

    def test_a_loop_of_categories_alone(self) -> None:
        spec = of_features(Feature("place", "drift", categories=("home", "work")))
        assert FeatureMap.of(spec, True).phi(np.array([[0.0], [1.0]])).tolist() == [[1, 0], [1, 1]]

    @pytest.mark.parametrize("name", ["r3al", "heartsteps"])
    @pytest.mark.parametrize("hinges", [False, True])
    def test_the_gram_has_full_rank(self, name: str, hinges: bool) -> None:
        phi = FeatureMap.of(builtin(name), hinges)
        rows = phi.phi(states_of(builtin(name), 2_000))
        assert np.linalg.matrix_rank(rows.T @ rows) == phi.width

    @given(bounds(), st.floats(-1e300, 1e300), st.booleans())
    def test_every_column_lies_between_minus_one_and_one(
        self, limits: tuple[float, float], value: float, hinges: bool
    ) -> None:
        spec = of_features(Feature("a", "learned", bounds=limits, scale=1.0))
        got = FeatureMap.of(spec, hinges).phi(np.array([[value], *([v] for v in limits)]))
        assert (np.abs(got) <= 1).all()
        assert got[1:, 1].tolist() == [-1.0, 1.0]


class TestSupport:
    """Features with known dynamics stay inside what random logging visits, in every form of the map."""

    LOOP = builtin("r3al")

    def test_a_long_wait_looks_like_the_longest_that_the_log_visits(self) -> None:
        phi = FeatureMap.of(self.LOOP, True, known_support(self.LOOP))
        gap, load = (self.LOOP.features[i] for i in (5, 6))
        assert (gap.name, load.name) == ("gap", "load")
        low, high = phi.support[5]
        assert 0.0 == low < high < 0.75 and 0.0 < phi.support[6][0] < phi.support[6][1] < 1.0
        states = np.zeros((3, 8))
        states[:, 5], states[:, 6] = (high, 0.9 * high + 0.1, 1.0), (0.0, 0.05, phi.support[6][0])
        columns = [phi.columns_of(name)[0] for name in ("gap", "load")]
        held = phi.phi(states)[:, columns]
        assert (held == held[0]).all() and held[0].tolist() == [1.0, -1.0]

    def test_one_state_and_many_agree_and_other_features_keep_their_bounds(self) -> None:
        phi, plain = (FeatureMap.of(self.LOOP, True, s) for s in (known_support(self.LOOP), ()))
        states = np.random.default_rng(0).uniform(-0.2, 1.2, (200, 8))
        states[:, 7] = np.arange(200) % 4
        np.testing.assert_array_equal(phi.phi(states), np.stack([phi.phi_of(s.tolist()) for s in states]))
        others = [i for i in range(phi.width) if phi.owners[i] not in (5, 6)]
        np.testing.assert_array_equal(phi.phi(states)[:, others], plain.phi(states)[:, others])

    def test_it_follows_from_the_loop_file_alone(self) -> None:
        first = known_support(self.LOOP)
        _support.cache_clear()
        assert known_support(builtin("r3al")) == first

    def test_a_loop_that_hardly_ever_waits_keeps_a_column_that_varies(self) -> None:
        policy = replace(self.LOOP.main_head, logging=(0.004, 0.249, 0.249, 0.249, 0.249))
        eager = replace(self.LOOP, heads=(policy, *self.LOOP.heads[1:]))
        assert known_support(eager)[5] == (0.0, 1.0)
