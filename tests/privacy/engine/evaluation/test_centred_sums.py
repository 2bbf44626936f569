"""Centred sums: nobody's row is longer than the block's clip, shares keep a person's own share, and the clip is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.engine.evaluation.centred_sums import (
    BLOCK_CLIPS,
    PersonValues,
    ValueClips,
    person_rows,
    read_centred,
    release_centred,
)

CLIPS = ValueClips(0.5, 0.8)
numbers = st.floats(-1e6, 1e6, allow_nan=False)


def released(values: PersonValues, clips: ValueClips = CLIPS, sigma: float | None = None) -> dict[str, np.ndarray]:
    return release_centred("m", values, clips, sigma=sigma, share=0.25)


class TestSensitivity:
    @settings(max_examples=300, deadline=None)
    @given(value=numbers, weight=st.one_of(st.none(), st.floats(0, 1e6)))
    def test_no_person_moves_a_block_by_more_than_its_clip(self, value: float, weight: float | None) -> None:
        """A whole person, added or removed: the L2 norm of what they add to the six scaled sums."""
        values = PersonValues(np.array([value]), None if weight is None else np.array([weight]))
        sums = released(values)
        noisy = released(values, sigma=2.0)
        of_noise = noisy["m_sd"] / (2.0 / 0.25**0.5 * BLOCK_CLIPS[values.kind])  # each sum's unit over its scale
        measured = of_noise > 0
        moved = float(np.linalg.norm(sums["m"][measured] / of_noise[measured]))
        assert moved <= BLOCK_CLIPS[values.kind] * (1 + 1e-9)

    def test_the_clip_is_reached(self) -> None:
        """A bound that nobody can reach would waste budget: some person comes within a hundredth."""
        longest = {"mean": PersonValues(np.array([0.499])), "share": PersonValues(np.array([0.499]), np.array([0.799]))}
        for kind, values in longest.items():
            noise = released(values, sigma=2.0)["m_sd"] / (2.0 / 0.25**0.5 * BLOCK_CLIPS[values.kind])
            moved = np.linalg.norm(released(values)["m"][noise > 0] / noise[noise > 0])
            assert moved == pytest.approx(BLOCK_CLIPS[values.kind], rel=0.01), kind

    def test_the_noise_is_what_the_share_of_the_budget_allows(self) -> None:
        noisy = released(PersonValues(np.zeros(3)), sigma=3.0)
        assert noisy["m_rho"][0] <= 0.25 / (2 * 3.0**2)
        assert noisy["m_sd"][0] == pytest.approx(3.0 / 0.25**0.5 * BLOCK_CLIPS["mean"] * CLIPS.value, rel=1e-6)


class TestMeans:
    def test_people_beyond_the_clip_are_counted_by_side_and_add_nothing_else(self) -> None:
        sums = read_centred(released(PersonValues(np.array([0.2, -9.0, -0.6, 0.7, -0.5]))), "m")
        assert sums.value == pytest.approx(0.2 - 0.5, abs=1e-4)
        assert (sums.below, sums.above, sums.people) == pytest.approx((2.0, 1.0, 5.0), abs=1e-4)
        assert sums.square == pytest.approx(0.04 + 0.25, abs=1e-4)
        assert sums.divisor == (sums.people, sums.sd_people)

    def test_each_side_counts_less_half_its_noise(self) -> None:
        values = PersonValues(np.r_[np.zeros(400), -np.ones(60), np.ones(300)])
        sums = read_centred(released(values, sigma=1.0), "m")
        assert sums.sd_beyond > 1
        assert sums.beyond == pytest.approx((sums.below - 0.5 * sums.sd_beyond, sums.above - 0.5 * sums.sd_beyond))
        assert sums.clipped_value == pytest.approx(sums.value + 0.5 * (sums.beyond[1] - sums.beyond[0]))
        none = read_centred(released(PersonValues(np.zeros(400)), sigma=1000.0), "m")
        assert min(none.beyond) >= 0


class TestShares:
    def test_numerator_and_weight_are_cut_together(self) -> None:
        """A person with three times the largest weight, harmed in .2 of it: A - .1 B is .1 of the clipped weight."""
        rows = person_rows(PersonValues(np.array([0.1 * 2.4]), np.array([2.4])), ValueClips(0.8, 0.8))
        assert rows[0].tolist() == pytest.approx([0.1, 0.01, 0.0, 0.0, 1.0, 1.0])

    def test_somebody_who_is_always_harmed_is_beyond_and_counted(self) -> None:
        rows = person_rows(PersonValues(np.array([0.9 * 2.4]), np.array([2.4])), ValueClips(0.2, 0.8))
        assert rows[0].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]

    def test_the_share_of_those_within_the_clip_is_exact(self) -> None:
        weight, harmed = np.array([0.2, 0.4, 0.8]), np.array([0.0, 0.1, 0.8])
        sums = read_centred(released(PersonValues(harmed - 0.1 * weight, weight), ValueClips(0.73, 0.8)), "m")
        assert 0.1 + sums.value / sums.weight == pytest.approx(0.9 / 1.4, abs=1e-3)
        assert sums.beyond == (0.0, 0.0) and sums.divisor == (sums.weight, sums.sd_weight)
