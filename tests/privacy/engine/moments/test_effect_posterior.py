"""The posterior of effects: what matters is found, what does not is held near zero, and its intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from loops.engine.features import FeatureMap
from loops.engine.spec import Feature
from privacy.engine.moments.effect_posterior import (
    HYPER_SD,
    NoisyMoments,
    TargetEffects,
    _draw_proportions,
    released_posterior,
)
from privacy.engine.moments.gram_matrix import Gram
from tests.factories.loops import of_features

NAMES = tuple("abcdefgh")
SPEC = of_features(*(Feature(n, "drift", bounds=(0.0, 1.0), scale=0.2) for n in NAMES))
PHI = FeatureMap.of(SPEC, False)
WIDTH, ALTERNATIVES = PHI.width, 3
P = np.array([0.2, 0.15, 0.25])
COVARIANCE = np.diag(P) - np.outer(P, P)
GRAM = np.diag([1.0, *[1 / 3] * len(NAMES)])  # uniform, independent features


def released(
    effects: np.ndarray, rng: np.random.Generator, *, noise: float = 0.01, rows: float = 20_000
) -> NoisyMoments:
    """A release of these effects (K-1, d): sampling of unit residuals, and noise of this sd on each entry."""
    moment = COVARIANCE @ effects @ GRAM
    sampling = np.linalg.cholesky(COVARIANCE) @ rng.normal(size=moment.shape) @ np.sqrt(GRAM) / np.sqrt(rows)
    moment = moment + sampling + noise * rng.normal(size=moment.shape)
    return NoisyMoments(Gram(GRAM, np.zeros_like(GRAM)), COVARIANCE, moment, 1.0, rows, noise)


def effects_of(*columns: int, size: float = 0.5) -> np.ndarray:
    effects = np.zeros((ALTERNATIVES, WIDTH))
    effects[:, columns] = size * np.array([1.0, -1.0, 0.7])[:, None]
    return effects


def error(found: TargetEffects, truth: np.ndarray) -> float:
    return float(((found.mean - truth) ** 2).mean())


def test_without_noise_it_is_the_truth() -> None:
    truth = np.random.default_rng(0).normal(size=(ALTERNATIVES, WIDTH)) * 0.3
    exact = NoisyMoments(Gram(GRAM, np.zeros_like(GRAM)), COVARIANCE, COVARIANCE @ truth @ GRAM, 1.0, 1e9, 0.0)
    np.testing.assert_allclose(released_posterior(PHI, exact).mean, truth, atol=1e-3)


def test_columns_that_change_nothing_are_held_near_zero_and_the_one_that_does_is_not() -> None:
    """Noise on an effect of a feature is about .2 here (least squares); 20 releases, the mean of squared errors."""
    truth, plain, found = effects_of(2), [], []
    for seed in range(20):
        asked = released(truth, np.random.default_rng(seed))
        posterior = released_posterior(PHI, asked)
        found.append((posterior.mean - truth) ** 2)
        plain.append((np.linalg.inv(COVARIANCE) @ asked.moment @ np.linalg.inv(GRAM) - truth) ** 2)
    quiet = [c for c in range(WIDTH) if c != 2]
    assert np.mean(found, axis=0)[:, quiet].mean() < np.mean(plain, axis=0)[:, quiet].mean() / 6
    assert np.mean(found, axis=0)[:, 2].mean() < np.mean(plain, axis=0)[:, 2].mean()


def test_where_every_column_matters_none_is_held_back() -> None:
    truth = effects_of(*range(WIDTH))
    errors = [
        error(released_posterior(PHI, released(truth, np.random.default_rng(s), noise=0.004)), truth) for s in range(10)
    ]
    assert np.mean(errors) < 0.01, "effects of .5; squared error of least squares about .008"


def test_its_intervals_hold_what_they_promise() -> None:
    """Half of the columns have effects of about .35 and half of about .02, 40 releases of 27 effects: the 80% interval covers .8
    of them. The bounds are 5 sd of the mean, as a release errs by about .1: a false alarm in 10^6.
    """
    covered = []
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        widths = np.where(rng.random(WIDTH) < 0.5, 0.35, 0.02)
        truth = rng.normal(size=(ALTERNATIVES, WIDTH)) * widths
        posterior = released_posterior(PHI, released(truth, rng))
        drawn = np.stack([posterior.draw(rng) for _ in range(200)])
        low, high = np.quantile(drawn, (0.1, 0.9), axis=0)
        covered.append(((low <= truth) & (truth <= high)).mean())
    assert np.mean(covered) == pytest.approx(0.8, abs=0.08)


def test_where_nothing_is_said_nothing_is_believed() -> None:
    silent = released(effects_of(2), np.random.default_rng(1), noise=10.0)
    posterior = released_posterior(PHI, silent)
    assert np.abs(posterior.mean).max() < 0.05
    rng = np.random.default_rng(2)
    assert np.stack([posterior.draw(rng) for _ in range(200)]).std() > 0.1, "and anything is possible"


def test_the_noise_of_the_gram_is_doubt() -> None:
    asked = released(effects_of(0, 2, size=1.5), np.random.default_rng(3), noise=0.001)
    noisy = NoisyMoments(Gram(GRAM, np.full_like(GRAM, 0.03)), *list(vars(asked).values())[1:])
    rng = np.random.default_rng(4)
    posteriors = [released_posterior(PHI, one) for one in (asked, noisy)]
    sure, unsure = (np.stack([p.draw(rng) for _ in range(100)]).std(axis=0)[:, 2].mean() for p in posteriors)
    assert unsure > 1.2 * sure


def test_the_same_release_has_the_same_posterior() -> None:
    asked = released(effects_of(1, 3), np.random.default_rng(5))
    one, two = released_posterior(PHI, asked), released_posterior(PHI, asked)
    np.testing.assert_array_equal(one.means, two.means)
    np.testing.assert_array_equal(one.factors, two.factors)


def test_one_alternative_and_hinges_are_as_good() -> None:
    """A yes-or-no loop with hinges: the width of a column follows from one effect and its group."""
    bent = FeatureMap.of(SPEC, True)
    gram = np.eye(bent.width) / 3
    gram[0, 0] = 1.0
    truth = np.zeros((1, bent.width))
    truth[0, [0, 12]] = 0.4
    rng, covariance = np.random.default_rng(6), np.array([[0.24]])
    moment = covariance @ truth @ gram + 0.004 * rng.normal(size=truth.shape)
    found = released_posterior(bent, NoisyMoments(Gram(gram, 0 * gram), covariance, moment, 1.0, 1e6, 0.004)).mean
    np.testing.assert_allclose(found, truth, atol=0.15)
    assert np.abs(np.delete(found, [0, 12])).mean() < 0.03


def test_before_anything_is_read_small_effects_are_likelier_than_large_ones() -> None:
    """Proportions of widths in a group of one column are half a normal density's, but for that column."""
    grid, rng = np.array([0.05, 0.2, 0.4, 0.8, 1.6]), np.random.default_rng(3)
    one, group = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    drawn = np.mean([_draw_proportions(one, group, grid, rng)[0] for _ in range(4_000)], axis=0)
    density = np.exp(-(grid**2) / (2 * HYPER_SD**2))
    expected = (np.eye(len(grid))[0] + 0.5 * density / density.mean()) / (1.0 + 0.5 * len(grid))
    np.testing.assert_allclose(drawn, expected, atol=0.015)
