from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loops.engine.reward import BOUNDS, COMPONENTS, INPUTS, components_bounded, reward_components, reward_total
from tests.factories.builtin_loops import builtin

NAN = float("nan")
SPEC = builtin("r3al")


def components(action: str = "wait", affect: dict[str, float] | None = None, **inputs: float) -> dict[str, float]:
    got = reward_components(SPEC, inputs, action=action, affect=affect or {})
    return dict(zip(COMPONENTS, got.tolist(), strict=True))


class TestTotal:
    def test_the_blueprints_weights(self) -> None:
        # .4 * .5 + .4 * .3 + .2 * 1 + .1 * .8 + .1 * .6; uptake weighs nothing
        assert reward_total(SPEC, np.array([0.5, 0.3, 1.0, 0.8, 0.6, 1.0])) == pytest.approx(0.66, abs=1e-15)

    def test_the_blueprints_example(self) -> None:
        """calculateReward: mood -.3 to .2, engagement .5 to .8, consent given, privacy respected."""
        got = reward_components(
            SPEC,
            {
                "sentiment_before": -0.3, "sentiment_after": 0.2, "engagement_before": 0.5, "engagement_after": 0.8,
                "consent": 1, "privacy": 1,
            },
            action="check_in",
            affect={},
        )  # fmt: skip
        assert got[:3] == pytest.approx([0.5, 0.3, 1.0])
        assert reward_total(SPEC, got) == pytest.approx(0.4 * 0.5 + 0.4 * 0.3 + 0.2)

    def test_weights_are_the_loops(self) -> None:
        uptake = replace(SPEC, reward=replace(SPEC.reward, weights={**SPEC.reward.weights, "uptake": 0.5}))
        assert reward_total(uptake, np.array([0, 0, 0, 0, 0, 1.0])) == 0.5

    def test_what_was_not_observed_counts_nothing(self) -> None:
        assert reward_total(SPEC, np.array([0.5, NAN, NAN, NAN, NAN, NAN])) == pytest.approx(0.2)

    def test_where_nothing_was_observed_there_is_no_total(self) -> None:
        assert np.isnan(reward_total(SPEC, np.full(6, NAN)))

    def test_many_decisions_at_once(self) -> None:
        rows = np.array([[0.5, 0, 0, 0, 0, 0], [NAN] * 6, [0, NAN, 1.0, 0, 0, 0]])
        got = reward_total(SPEC, np.stack([rows, rows]))
        assert got.shape == (2, 3)
        np.testing.assert_allclose(got[0], [0.2, NAN, 0.2], atol=1e-15)


class TestComponents:
    def test_nothing_given_nothing_known(self) -> None:
        assert all(np.isnan(v) for v in components().values())

    @pytest.mark.parametrize(("consent", "privacy", "score"), [(1, 1, 1.0), (1, 0, 0.5), (0, 1, 0.5), (0, 0, 0.0)])
    def test_compliance_is_half_consent_half_privacy(self, consent: int, privacy: int, score: float) -> None:
        assert components(consent=consent, privacy=privacy)["compliance"] == score

    def test_a_gain_needs_both_ends(self) -> None:
        assert np.isnan(components(sentiment_after=0.5)["sentiment"])

    def test_a_rating_goes_before_the_table(self) -> None:
        assert components(action="breathe", affect={"stress": 0.2}, rating=0.9)["empathy"] == 0.9

    @pytest.mark.parametrize(
        ("action", "affect", "score"),
        [("breathe", {"stress": 0.8}, 0.8), ("reframe", {"mood": 0.25}, 0.75), ("celebrate", {"mood": 0.25}, 0.25)],
    )
    def test_unrated_it_is_how_apt_the_action_was(self, action: str, affect: dict[str, float], score: float) -> None:
        assert components(action=action, affect=affect)["empathy"] == score

    def test_an_action_outside_the_table_has_no_empathy(self) -> None:
        assert np.isnan(components(action="dance", affect={"mood": 0.5})["empathy"])

    @pytest.mark.parametrize(
        ("action", "delay", "score"),
        [
            ("now", 0, 1.0),
            ("now", 3_600, 0.36787944117144233),
            ("in_30_minutes", 1_800, 1.0),
            ("in_2_hours", 3_600, 0.36787944117144233),
            ("this_evening", 18_000, 0.36787944117144233),
            ("unheard_of", 7_200, 0.1353352832366127),
        ],
    )
    def test_timing_fades_with_the_distance_from_the_best_moment(self, action: str, delay: float, score: float) -> None:
        assert components(action=action, delay=delay)["timing"] == pytest.approx(score, rel=1e-15)

    @given(st.dictionaries(st.sampled_from(INPUTS), st.floats(-1e12, 1e12)), st.floats(-1e6, 1e6))
    def test_every_component_is_bounded_or_not_known(self, inputs: dict[str, float], stress: float) -> None:
        got = reward_components(SPEC, inputs, action="breathe", affect={"stress": stress})
        for name, value in zip(COMPONENTS, got, strict=True):
            assert np.isnan(value) or BOUNDS[name][0] <= value <= BOUNDS[name][1]

    def test_bounding_keeps_what_is_not_known(self) -> None:
        got = components_bounded(np.array([[-3.0, 2.0, NAN, 5.0, 0.5, -1.0]]))
        np.testing.assert_array_equal(got, [[-2.0, 1.0, NAN, 1.0, 0.5, 0.0]])
