"""Statistics: bounded a person, exact before the noise, the error that theory says, and the same over any shards."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from core.errors import InputError
from privacy.engine.anonymize.central_dp import (
    _clip,
    _contributions,
    central_read,
    central_release,
    central_totals,
    shares,
)
from privacy.engine.anonymize.columns import Column
from privacy.engine.dp.accounting import LATTICE_STEPS, calibrate
from privacy.engine.dp.mechanisms import Totals, add_totals

MOOD, PLACE = Column("mood", -1.0, 1.0), Column("place", 0.0, 2.0, ("a", "b", "c"))
BOTH = (MOOD, PLACE)
SIGMA = calibrate(epsilon=1.0, delta=1e-6, maximum=1.0).sigma


def records(seed: int, people: int = 400, each: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(people), each)
    values = np.column_stack([rng.uniform(-1, 1, len(users)), rng.integers(0, 3, len(users)).astype(float)])
    values[rng.random(len(users)) < 0.1, 0] = np.nan
    return values, users


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 20))
def test_no_person_adds_more_than_the_clip_whatever_they_send(seed: int, people: int, each: int) -> None:
    rng = np.random.default_rng(seed)
    users = rng.integers(0, people, people * each)
    values = np.column_stack(
        [rng.choice([-1.0, 0.3, 1.0, np.nan], len(users)), rng.choice([0.0, 2.0, np.nan], len(users))]
    )
    _, owner = np.unique(users, return_inverse=True)
    for name, block in _contributions(values, owner, BOTH).items():
        assert (np.sqrt(np.square(block).sum(axis=1)) <= _clip(name, BOTH) + 1e-12).all(), name


def test_one_person_moves_the_integer_totals_by_at_most_one_clip() -> None:
    values, users = records(1)
    whole = central_totals(values, users, BOTH)
    without = central_totals(values[users != 7], users[users != 7], BOTH)
    for name in whole.blocks:
        assert np.square((whole.blocks[name] - without.blocks[name]).astype(object)).sum() <= LATTICE_STEPS**2


def test_shards_add_up_to_the_very_same_totals() -> None:
    values, users = records(2)
    parts = [central_totals(values[users % 5 == i], users[users % 5 == i], BOTH) for i in range(5)]
    whole = central_totals(values, users, BOTH)
    for name, total in add_totals(parts).blocks.items():
        assert (total == whole.blocks[name]).all()


def test_the_blocks_share_one_charge() -> None:
    values, users = records(3)
    out = central_release(central_totals(values, users, BOTH), BOTH, SIGMA)
    spent = sum(float(out[f"{name}_rho"][0]) for name in shares(BOTH))
    assert spent <= 1 / (2 * SIGMA**2) and sum(shares(BOTH).values()) == pytest.approx(1.0)


def test_with_next_to_no_noise_it_says_what_is_so() -> None:
    values, users = records(4, people=3_000)
    told = central_read(central_release(central_totals(values, users, BOTH), BOTH, 1e-3), BOTH)
    by_person = [np.nanmean(values[users == u, 0]) for u in range(3_000) if np.isfinite(values[users == u, 0]).any()]
    assert told.users == pytest.approx(3_000, abs=1)
    assert told.columns["mood"]["mean"]["value"] == pytest.approx(np.mean(by_person), abs=1e-3)
    assert told.columns["place"]["histogram"]["b"] == pytest.approx(np.mean(values[:, 1] == 1), abs=1e-3)
    median = told.columns["mood"]["quantiles"]["0.5"]
    assert median["value"] == pytest.approx(0.0, abs=0.05) and median["low"] <= median["value"] <= median["high"]
    assert median["high"] - median["low"] < 0.2


def test_the_mean_over_ten_thousand_people_at_half_an_epsilon_errs_as_theory_says() -> None:
    """Theory, from epsilon, delta, the clip and the people alone: of one number a person's vector is (1, 1, x), |x| at most 1, of
    length root 3; the block of means has .5 of .8 of the rho; so sd = half range * root 3 * sigma / sqrt(.5 / .8) *
    sqrt(1 + mean^2) / people. The sample sd of 1,000 releases lies within 10% of it but for one suite in 10^5 (chi-square on
    999 degrees of freedom).
    """
    people, column, epsilon, delta = 10_000, Column("mood", 0.0, 10.0), 0.5, 1e-6
    theory = 5.0 * math.sqrt(3) * gaussian_sigma(epsilon, delta) / math.sqrt(0.5 / 0.8) * math.sqrt(1 + 0.6**2) / people
    values = np.full((people, 1), 8.0)
    totals = central_totals(values, np.arange(people), [column])
    sigma = calibrate(epsilon=epsilon, delta=delta, maximum=1.0).sigma
    means = []
    for _ in range(1_000):
        out = _means_alone(totals, sigma)
        means.append(5.0 * (out["means"][2] / out["means"][1] + 1))
    assert np.std(means, ddof=1) / theory == pytest.approx(1.0, abs=0.1)
    assert np.mean(means) == pytest.approx(8.0, abs=5 * theory / math.sqrt(1_000) + 1e-5)
    told = central_read(central_release(totals, [column], sigma), [column]).columns["mood"]["mean"]
    assert (told["high"] - told["low"]) / 2 == pytest.approx(1.959964 * theory, rel=0.02)


def gaussian_sigma(epsilon: float, delta: float) -> float:
    """The noise multiplier of the Gaussian mechanism at sensitivity 1 (Balle and Wang 2018, theorem 8), by scipy alone."""

    def excess(sigma: float) -> float:
        below, above = 1 / (2 * sigma) - epsilon * sigma, -1 / (2 * sigma) - epsilon * sigma
        return float(stats.norm.cdf(below) - math.exp(epsilon) * stats.norm.cdf(above)) - delta

    return float(optimize.brentq(excess, 0.1, 100.0))


def _means_alone(totals: Totals, sigma: float) -> dict[str, np.ndarray]:
    """The block of means as a release noises it; the others are left out to save time."""
    from privacy.engine.dp.mechanisms import noise_once

    column = [Column("mood", 0.0, 10.0)]
    block = noise_once(totals.blocks["means"], clip=_clip("means", column), sigma=sigma, share=shares(column)["means"])
    return {"means": block.values}


def test_intervals_cover_as_often_as_they_say() -> None:
    """Of 300 releases 95% +- 5 standard errors contain the truth: one suite in a million fails."""
    values, users = np.full((500, 1), 0.4), np.arange(500)
    totals = central_totals(values, users, [MOOD])
    hits = 0
    for _ in range(300):
        mean = central_read(central_release(totals, [MOOD], SIGMA), [MOOD]).columns["mood"]["mean"]
        hits += mean["low"] <= 0.4 <= mean["high"]
    assert abs(hits / 300 - 0.95) < 5 * math.sqrt(0.95 * 0.05 / 300)


def test_intervals_of_quantiles_cover_at_least_as_often_as_they_say() -> None:
    """Of 300 releases at least 95% - 5 standard errors hold each true quantile: fewer than one suite in a million fails."""
    rng = np.random.default_rng(5)
    values, users = rng.beta(2, 5, size=(400, 1)) * 2 - 1, np.arange(400)
    totals, truth = central_totals(values, users, [MOOD]), np.quantile(values, [0.1, 0.5, 0.9])
    hits = np.zeros(3)
    for _ in range(300):
        told = central_read(central_release(totals, [MOOD], SIGMA), [MOOD]).columns["mood"]["quantiles"]
        hits += [told[q]["low"] <= t <= told[q]["high"] for q, t in zip(("0.1", "0.5", "0.9"), truth, strict=True)]
    assert (hits / 300 > 0.95 - 5 * math.sqrt(0.95 * 0.05 / 300)).all()


@pytest.mark.parametrize(
    ("values", "users", "columns", "said"),
    [
        (np.zeros((1, 1)), [0], [], "pass one"),
        (np.zeros((1, 2)), [0], [MOOD], "pass one"),
        (np.zeros((1, 1)), [0], [Column("mood", 1.0, -1.0)], "low must be below high"),
    ],
)
def test_what_cannot_be_is_refused(values: np.ndarray, users: list[int], columns: list[Column], said: str) -> None:
    with pytest.raises(InputError, match=said):
        central_totals(values, np.array(users, dtype=np.int64), columns)


@pytest.mark.parametrize("wild", [1.5, 1.7e308, np.inf, -np.inf, np.nan])
def test_a_wild_value_is_taken_within_the_public_bounds(wild: float) -> None:
    """An exception would tell that its person was charged."""
    values, users = np.array([[wild, wild], [0.25, 1.0]]), np.arange(2)
    tame = np.array([[1.0 if np.isfinite(wild) else np.nan, np.nan], [0.25, 1.0]])
    found, expected = central_totals(values, users, BOTH), central_totals(tame, users, BOTH)
    for name, total in expected.blocks.items():
        assert np.array_equal(found.blocks[name], total), name


def test_a_shard_without_records_adds_zeros() -> None:
    nobody = central_totals(np.zeros((0, 2)), np.zeros(0, dtype=np.int64), BOTH)
    whole = central_totals(*records(3), BOTH)
    for name, total in add_totals([nobody, whole]).blocks.items():
        assert np.array_equal(total, whole.blocks[name]), name


def test_no_shard_and_no_noise_are_refused() -> None:
    with pytest.raises(InputError, match="no shard"):
        add_totals([])
    values, users = records(5, people=10)
    with pytest.raises(InputError, match="no noise"):
        central_release(central_totals(values, users, BOTH), BOTH, 0.0)
