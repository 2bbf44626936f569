"""The grid never lets a person count for more than the clip; the noise is what is charged, and no less."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.errors import InputError
from privacy.engine.dp import mechanisms
from privacy.engine.dp.accounting import LATTICE_STEPS
from privacy.engine.dp.mechanisms import integer_sum, noise_once, noisy_sum, to_grid

ROWS = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-1e9, 1e9))


@given(ROWS, st.floats(1e-3, 1e3), st.sampled_from([1, 5, 1000, LATTICE_STEPS, 1 << 30]))
def test_no_row_is_longer_than_the_clip(values: np.ndarray, clip: float, steps: int) -> None:
    grid = to_grid(values, clip, steps)
    assert all(sum(int(v) ** 2 for v in row) <= steps**2 for row in grid)


@given(ROWS, st.floats(1e-3, 1e3))
def test_a_row_within_the_clip_is_only_rounded_toward_zero(values: np.ndarray, clip: float) -> None:
    inside = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12) * clip * 0.9
    back = to_grid(inside, clip, LATTICE_STEPS) * (clip / LATTICE_STEPS)
    assert (np.abs(back) <= np.abs(inside) * (1 + 1e-12)).all()
    assert (np.abs(back - inside) <= 1.0001 * clip / LATTICE_STEPS).all()


def test_a_row_of_exactly_the_clip_keeps_its_whole_length() -> None:
    assert to_grid(np.array([[2.5], [-2.5], [9.0]]), 2.5, LATTICE_STEPS).ravel().tolist() == [
        LATTICE_STEPS,
        -LATTICE_STEPS,
        LATTICE_STEPS,
    ]


def test_a_row_that_rounding_lifts_over_the_bound_is_pulled_in() -> None:
    """Points on the sphere whose coordinates are whole steps up to rounding: here float arithmetic can exceed."""
    rng = np.random.default_rng(3)
    triples = np.array([[3, 4], [5, 12], [8, 15], [7, 24], [20, 21]], dtype=float)
    rows = np.repeat(triples, 400, axis=0) * rng.uniform(1e-6, 1e6, (2000, 1))
    for hypotenuse in (5, 13, 17, 25, 29):
        grid = to_grid(rows, 0.1, hypotenuse * 1000)
        assert (np.square(grid).sum(axis=1) <= (hypotenuse * 1000) ** 2).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_counts_as_0(bad: float) -> None:
    """An exception would tell that the person who brought it is in the sum."""
    grid = to_grid(np.array([[0.5, bad], [0.0, 1.0]]), 1.0, LATTICE_STEPS)
    assert grid.tolist() == [[LATTICE_STEPS // 2, 0], [0, LATTICE_STEPS]]


def test_the_largest_numbers_stay_within_the_clip() -> None:
    grid = to_grid(np.array([[1.7e308, -1.7e308], [1.7e308, 1.0]]), 1e-3, LATTICE_STEPS)
    assert (np.square(grid).sum(axis=1) <= LATTICE_STEPS**2).all()


@pytest.mark.parametrize(
    ("clip", "steps"), [(0.0, 8), (-1.0, 8), (math.nan, 8), (math.inf, 8), (1.0, 0), (1.0, 1 << 31)]
)
def test_a_grid_that_is_none_is_refused(clip: float, steps: int) -> None:
    with pytest.raises(InputError, match="grid"):
        to_grid(np.ones((1, 1)), clip, steps)


def test_shards_of_people_add_up_to_exactly_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(1).normal(size=(1000, 7))
    whole = integer_sum(rows, clip=2.0)
    assert (integer_sum(rows[:313], clip=2.0) + integer_sum(rows[313:], clip=2.0) == whole).all()
    monkeypatch.setattr(mechanisms, "_CHUNK_VALUES", 50)
    assert (integer_sum(rows[::-1], clip=2.0) == whole).all()


def test_adding_one_person_moves_the_sum_by_at_most_the_clip() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(50, 5)) * rng.lognormal(0, 3, (50, 1))
    whole = integer_sum(rows, clip=1.5)
    for i in range(50):
        step = whole - integer_sum(np.delete(rows, i, axis=0), clip=1.5)
        assert int(step @ step) <= LATTICE_STEPS**2


def test_nobody_at_all_still_gives_noise() -> None:
    block = noisy_sum(np.zeros((0, 400)), clip=1.0, sigma=3.73, share=1.0)
    assert block.values.shape == (400,) and len(set(block.values)) > 300


def test_a_billion_people_fit_into_the_sum() -> None:
    total = np.array([10**9 * LATTICE_STEPS, -(10**9) * LATTICE_STEPS], dtype=np.int64)
    block = noise_once(total, clip=1.0, sigma=3.73, share=0.5)
    assert np.allclose(block.values, [1e9, -1e9], atol=100)


@given(st.floats(0.05, 1000.0), st.floats(1e-6, 1.0))
def test_a_block_is_charged_no_more_than_its_share(sigma: float, share: float) -> None:
    block = noise_once(np.zeros(1, dtype=np.int64), clip=2.0, sigma=sigma, share=share)
    bound = share / (2 * sigma**2)
    assert bound * (1 - 1e-12) < block.rho <= bound
    assert block.sd == pytest.approx(2.0 * sigma / math.sqrt(share))


def test_shares_of_one_spend_no_more_than_the_whole() -> None:
    shares = [0.22, 0.13, 0.60, 0.05]
    blocks = [noise_once(np.zeros(3, dtype=np.int64), clip=1.0, sigma=3.73, share=w) for w in shares]
    assert math.fsum(b.rho for b in blocks) <= 1 / (2 * 3.73**2)


@pytest.mark.parametrize(
    ("sigma", "share"), [(0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (math.inf, 1.0), (1.0, 0.0), (1.0, 1.1)]
)
def test_noise_that_is_none_is_refused(sigma: float, share: float) -> None:
    with pytest.raises(InputError, match="no noise"):
        noise_once(np.zeros(1, dtype=np.int64), clip=1.0, sigma=sigma, share=share)


def test_mean_and_deviation_are_as_stated() -> None:
    """20,000 draws. A right sampler fails with probability below 1e-5: mean within 5 standard errors (6e-7), standard
    deviation within 5 of its own, sd / sqrt(2n) (6e-7), 4.5 sd exceeded by at most 5 draws (expected .14; 1e-8)."""
    n, rows = 20_000, np.full((40, 1), 0.25)
    block = noisy_sum(np.repeat(rows, n, axis=1), clip=0.25 * math.sqrt(n), sigma=2.0, share=0.25, steps=1 << 26)
    error = block.values - 10.0
    assert abs(error.mean()) < 5 * block.sd / math.sqrt(n) + 1e-3 * block.sd
    assert error.std() == pytest.approx(block.sd, rel=5 / math.sqrt(2 * n))
    assert (np.abs(error) > 4.5 * block.sd).sum() <= 5


def test_two_draws_of_one_sum_differ() -> None:
    total = np.zeros(100, dtype=np.int64)
    first, second = (noise_once(total, clip=1.0, sigma=3.73, share=1.0).values for _ in range(2))
    assert (first != second).mean() > 0.9


def test_without_noise_the_block_says_that_it_protects_nobody() -> None:
    block = noisy_sum(np.full((10, 2), 0.5), clip=1.0, sigma=None, share=1.0)
    assert np.allclose(block.values, 5.0) and block.sd == 0 and math.isinf(block.rho)


def test_the_slow_entry_point_of_the_library_is_never_imported() -> None:
    import subprocess
    import sys

    code = (
        "import sys, numpy as np; from privacy.engine.dp import mechanisms as m; assert 'opendp' not in sys.modules;"
        "m.noise_once(np.zeros(2, dtype=np.int64), clip=1.0, sigma=1.0, share=1.0);"
        "assert 'opendp.mod' in sys.modules and 'opendp.prelude' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
