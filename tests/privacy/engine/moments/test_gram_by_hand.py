"""The steps of the gram's estimate, each against its formula: identities by least squares, shrinkage by variances, the floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.arrays import Floats
from loops.engine.spec import Feature
from privacy.engine.moments.gram_matrix import (
    Gram,
    _correlations,
    _of_different_features,
    _onto_identities,
    _shrunk,
    estimate_gram,
)
from privacy.engine.moments.release_layout import ReleaseLayout
from tests.factories.planted import planted_spec

SPEC = replace(
    planted_spec(features="hinges"),
    features=(
        Feature("mood", "learned", bounds=(-1.0, 1.0), scale=0.2),
        Feature("place", "drift", categories=("home", "work", "away")),
        Feature("age", "constant", bounds=(0.0, 1.0)),
    ),
)
LAYOUT = ReleaseLayout.of(SPEC, hinges=True)  # columns: 1, mood, place=work, place=away, age, |mood|
D = 6
PEOPLE_ROWS = 500


def states(seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.uniform(-1, 1, PEOPLE_ROWS), rng.choice(3, PEOPLE_ROWS), rng.uniform(0, 1, PEOPLE_ROWS)]
    )


def gram_of(rows: Floats) -> Floats:
    phi = LAYOUT.phi.phi(rows)
    return np.asarray(phi.T @ phi / len(phi))


def noised(sd: float, seed: int = 1) -> Floats:
    noise = np.random.default_rng(seed).normal(size=(D, D)) * sd
    return gram_of(states()) + np.triu(noise) + np.triu(noise, 1).T


def _least_squares(released: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """The projection of the upper triangle onto all identities at once: x - N A' (A N A')^-1 (A x - b), with the rows held."""
    at = [(i, j) for i in range(D) for j in range(i, D)]
    rows, right = [], []

    def identity(parts: dict[tuple[int, int], float], value: float) -> None:
        rows.append([parts.get(entry, 0.0) for entry in at])
        right.append(value)

    for c in (2, 3):  # a one-hot column is its own square
        identity({(0, c): -1.0, (c, c): 1.0}, 0.0)
    identity({(2, 3): 1.0}, 0.0)  # and excludes the other
    identity({(5, 5): 1.0, (1, 1): -4.0, (0, 5): 2.0}, -released[0, 0])  # h^2 = 4 z^2 - 2 h - 1
    a, b = np.array(rows), np.array(right)
    x, n = np.array([released[e] for e in at]), np.diag([noise[e] for e in at])
    gain = n @ a.T @ np.linalg.inv(a @ n @ a.T)
    x, left = x - gain @ (a @ x - b), n - gain @ a @ n
    mean, variance = np.zeros((D, D)), np.zeros((D, D))
    for k, (i, j) in enumerate(at):
        mean[i, j] = mean[j, i] = x[k]
        variance[i, j] = variance[j, i] = left[k, k]
    return mean, variance


def test_identities_are_met_by_least_squares() -> None:
    noise = 0.04 * (0.5 + 0.5 * np.eye(D))
    released = noised(0.2)
    found = _onto_identities(LAYOUT, released, noise)
    mean, variance = _least_squares(released, noise)
    np.testing.assert_allclose(found.mean, mean, atol=1e-12)
    np.testing.assert_allclose(found.variance, variance, atol=1e-12)


def test_without_noise_nothing_is_moved() -> None:
    exact = gram_of(states())
    found = _onto_identities(LAYOUT, exact, np.zeros((D, D)))
    np.testing.assert_allclose(found.mean, exact, atol=1e-12)
    assert not found.variance.any()


def test_pairs_are_entries_of_two_features_neither_of_them_the_intercept() -> None:
    """The two columns of a place belong together, and so do mood and its hinge."""
    expected = np.zeros((D, D), bool)
    owner = {1: "mood", 2: "place", 3: "place", 4: "age", 5: "mood"}
    for i in range(1, D):
        for j in range(1, D):
            expected[i, j] = owner[i] != owner[j]
    np.testing.assert_array_equal(_of_different_features(LAYOUT), expected)


def test_correlations_are_those_of_the_rows() -> None:
    rows = states()
    rows[:, 2] = np.abs(rows[:, 0])
    expected = np.corrcoef(LAYOUT.phi.phi(rows)[:, 1:].T)
    np.testing.assert_allclose(_correlations(gram_of(rows) * 7.0)[1:, 1:], expected, atol=1e-12)


def test_a_variance_below_a_thousandth_is_not_divided_by() -> None:
    constant = np.outer([1.0, 0.5], [1.0, 0.5])
    constant[1, 1] += 1e-5
    assert _correlations(constant)[1, 1] == pytest.approx(1e-5 / 1e-3)


@pytest.mark.parametrize("sd", [0.02, 0.3])
def test_covariances_are_shrunk_by_what_noise_and_spread_leave(sd: float) -> None:
    """Entry by entry: weight = (own + means' noise) / (own + means' noise + entry's noise) of the released covariance, and the
    rest of the null users' correlation; ``own`` is the spread about it that noise does not explain, at least 0.
    """
    rows_seen = 0.8
    mean, variance = noised(sd) * rows_seen, np.full((D, D), sd**2) * (0.5 + 0.5 * np.eye(D)) * rows_seen**2
    null = gram_of(states(5))
    pairs = _of_different_features(LAYOUT)
    rows = max(mean[0, 0], float(np.sqrt(variance.max())))
    m, s = mean[0] / rows, variance / rows**2
    covariance = mean / rows - np.outer(m, m)
    spread = np.maximum(np.diag(covariance), 1e-3)
    corr = _correlations(null)
    away, noise, guess = np.zeros((D, D)), np.zeros((D, D)), np.zeros((D, D))
    for i in range(D):
        for j in range(D):
            guess[i, j] = corr[i, j] * np.sqrt(spread[i] * spread[j])
            away[i, j] = covariance[i, j] - guess[i, j]
            noise[i, j] = m[i] ** 2 * s[0, j] + m[j] ** 2 * s[0, i]
    own = max(float(np.mean([(away[p] ** 2 - s[p] - noise[p]) for p in zip(*np.nonzero(pairs), strict=True)])), 0.0)
    found = _shrunk(Gram(mean, variance), null, pairs)
    for i in range(D):
        for j in range(D):
            weight = (own + noise[i, j]) / (own + s[i, j] + noise[i, j]) if pairs[i, j] else 1.0
            expected = rows * (guess[i, j] + weight * away[i, j] + m[i] * m[j])
            assert found.mean[i, j] == pytest.approx(expected), (i, j)
            assert found.variance[i, j] == pytest.approx(weight * variance[i, j]), (i, j)


def test_where_noise_exceeds_the_count_of_rows_it_is_what_is_divided_by() -> None:
    """Nobody had a next state: the count is noise about 0, and its sd stands for it. Without noise a thousandth does."""
    null, pairs = gram_of(states(5)), _of_different_features(LAYOUT)
    for mean, variance, rows in ((0.01, 0.04, 0.2), (0.0, 0.0, 1e-3), (0.5, 0.04, 0.5)):
        gram = np.diag(np.full(D, mean))
        found = _shrunk(Gram(gram, np.full((D, D), variance)), null, pairs)
        covariance = np.maximum(np.diag(gram) / rows - (gram[0] / rows) ** 2, 1e-3)
        if variance == 0.0:
            np.testing.assert_allclose(np.diag(found.mean), np.diag(gram), atol=1e-15)
        else:
            assert found.mean[0, 0] == pytest.approx(mean)
            target = _correlations(null)[1, 4] * np.sqrt(covariance[1] * covariance[4])
            spread = variance / rows**2
            means = (gram[0, 1] / rows) ** 2 * spread + (gram[0, 4] / rows) ** 2 * spread
            at = list(zip(*np.nonzero(pairs), strict=True))
            corr = _correlations(null)
            own = np.mean([(corr[i, j] ** 2 * covariance[i] * covariance[j] - spread) for i, j in at])
            weight = (max(own, 0.0) + means) / (max(own, 0.0) + means + spread)
            assert found.mean[1, 4] == pytest.approx(rows * target * (1 - weight), abs=1e-12)


def test_one_feature_alone_has_nothing_to_be_shrunk() -> None:
    gram = Gram(np.array([[1.0, 0.2], [0.2, 0.4]]), np.full((2, 2), 0.01))
    found = _shrunk(gram, np.eye(2), np.zeros((2, 2), bool))
    np.testing.assert_allclose(found.mean, gram.mean)
    np.testing.assert_allclose(found.variance, gram.variance)


@pytest.mark.parametrize("sd", [0.0, 0.2])
def test_no_direction_is_flatter_than_twice_the_mean_noise(sd: float) -> None:
    null = gram_of(states(5))
    noise = sd**2 * (0.5 + 0.5 * np.eye(D))
    released = noised(sd)
    released[4] = released[:, 4] = 0.0  # a direction that nobody fills
    before = _shrunk(_onto_identities(LAYOUT, released, noise), null, _of_different_features(LAYOUT))
    found = estimate_gram(LAYOUT, released, sd**2, null)
    values, vectors = np.linalg.eigh(before.mean)
    least = 2 * np.sqrt(before.variance.mean()) + 1e-3
    assert values.min() < least
    expected = sum(max(v, least) * np.outer(u, u) for v, u in zip(values, vectors.T, strict=True))
    np.testing.assert_allclose(found.mean, expected, atol=1e-12)
    np.testing.assert_array_equal(found.variance, before.variance)


def test_the_doubt_of_a_product_adds_over_columns() -> None:
    gram = Gram(np.eye(2), np.array([[0.1, 0.2], [0.2, 0.4]]))
    np.testing.assert_allclose(gram.spread(np.array([1.0, 3.0])), [0.1 + 0.6, 0.2 + 1.2])
