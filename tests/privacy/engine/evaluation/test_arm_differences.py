"""A difference between the arms of a trial: one bounded vector a person, whose sum estimates the difference between the arms."""

from __future__ import annotations

import numpy as np
import pytest

from privacy.engine.dp.mechanisms import integer_sum
from privacy.engine.evaluation.arm_differences import (
    DIFFERENCE_CLIP,
    DIFFERENCE_COLUMNS,
    difference_centre,
    difference_rows,
    release_difference,
)

STEPS = 1 << 20


@pytest.mark.parametrize("centre", [0.0, 0.1, 0.5, 1.0])
def test_the_sum_over_people_estimates_how_many_more_left(centre: float) -> None:
    candidate = np.array([True, True, False, False] * 5)
    left = np.array([True, False, False, False] * 5)
    stored = release_difference("retention", candidate, left, centre=centre, sigma=None, rho_share=1.0)
    difference, gone, people = stored["retention"]
    assert difference / people == pytest.approx(0.5, abs=1e-4)
    assert (gone, people) == pytest.approx((5, 20), abs=1e-3)


@pytest.mark.parametrize("centre", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("candidate", [True, False])
@pytest.mark.parametrize("left", [True, False])
def test_the_worst_person_moves_the_block_by_no_more_than_its_clip(centre: float, candidate: bool, left: bool) -> None:
    rows = difference_rows(np.array([candidate]), np.array([float(left)]), centre) * list(DIFFERENCE_COLUMNS.values())
    assert np.linalg.norm(rows) <= DIFFERENCE_CLIP * (1 + 1e-12)
    assert np.linalg.norm(integer_sum(rows, clip=DIFFERENCE_CLIP, steps=STEPS)) <= STEPS


def test_noise_has_the_stated_sd_in_the_units_of_the_sums() -> None:
    """Noise has no seed: five standard errors of a sample sd are exceeded by one of three in 600,000 suites."""
    rng, n = np.random.default_rng(1), 800
    candidate, left = rng.random(200) < 0.5, rng.random(200) < 0.2
    exact = release_difference("retention", candidate, left, centre=0.2, sigma=None, rho_share=1.0)["retention"]
    drawn = [release_difference("retention", candidate, left, centre=0.2, sigma=4.0, rho_share=0.5) for _ in range(n)]
    apart = np.std([d["retention"] - exact for d in drawn], axis=0)
    assert apart == pytest.approx(drawn[0]["retention_sd"], rel=5 / np.sqrt(2 * n))


@pytest.mark.parametrize(("left", "users", "centre"), [(10, 100, 0.1), (-4, 100, 0.0), (50, 20, 1.0), (3, 0, 1.0)])
def test_the_centre_is_the_noised_share_that_left_inside_its_bounds(left: float, users: float, centre: float) -> None:
    assert difference_centre(left, users) == pytest.approx(centre)
