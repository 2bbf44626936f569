"""An evaluation's release: a wide clip where people's levels differ far more than the loop says, and what it costs."""

from __future__ import annotations

import numpy as np
import pytest

from privacy.engine.evaluation.centred_sums import PersonValues, ValueClips, read_centred
from privacy.engine.evaluation.release import EVALUATION_SHARES, SPREAD_NORM, WIDER, beyond_rows, release_values

CLIPS = {"improvement": ValueClips(0.5)}


def released(values: np.ndarray, sigma: float | None = None) -> dict[str, np.ndarray]:
    return release_values({"improvement": PersonValues(values)}, CLIPS, EVALUATION_SHARES, sigma)


def test_the_clip_is_wide_where_more_than_one_in_twenty_five_lie_beyond_it() -> None:
    few, many = np.r_[np.zeros(97), np.full(3, 0.6)], np.r_[np.zeros(95), np.full(5, 0.6)]
    assert read_centred(released(few), "improvement").clips.value == pytest.approx(0.5)
    wide = read_centred(released(many), "improvement")
    assert wide.clips.value == pytest.approx(0.5 * WIDER)
    assert (wide.above, wide.value) == pytest.approx((0.0, 3.0), abs=1e-3)  # they are read, and hide nothing


def test_noise_alone_does_not_widen_the_clip() -> None:
    wide = [read_centred(released(np.zeros(1_000), sigma=5.3), "improvement").clips.value > 0.5 for _ in range(60)]
    assert sum(wide) <= 12  # one in twenty is expected to exceed 1.645 sd, less the people's own 4%


@pytest.mark.parametrize("value", [-1e9, -0.4, 0.0, 0.5, 1e9])
def test_no_person_moves_the_count_by_more_than_its_norm(value: float) -> None:
    assert np.linalg.norm(beyond_rows(PersonValues(np.array([value])), CLIPS["improvement"])) <= SPREAD_NORM


def test_the_blocks_spend_no_more_than_the_release() -> None:
    out = released(np.zeros(100), sigma=3.0)
    assert out["spread_rho"][0] + out["improvement_rho"][0] <= 1 / (2 * 3.0**2)
