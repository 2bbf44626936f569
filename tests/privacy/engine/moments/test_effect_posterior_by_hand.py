"""The steps of the effects' sampler, each against its closed form."""

from __future__ import annotations

import numpy as np
import pytest

from loops.engine.features import FeatureMap
from loops.engine.spec import Feature
from privacy.engine.moments.action_shares import ActionShares
from privacy.engine.moments.effect_posterior import (
    CONCENTRATION,
    GibbsSchedule,
    NoisyMoments,
    TargetEffects,
    _draw_proportions,
    _draw_widths,
    _groups,
    _Likelihood,
    _noise,
    released_posterior,
)
from privacy.engine.moments.gram_matrix import Gram
from tests.factories.loops import of_features

SPEC = of_features(*(Feature(n, "drift", bounds=(0.0, 1.0), scale=0.2) for n in "ab"))
PHI = FeatureMap.of(SPEC, False)
P = np.array([0.3, 0.2])
COVARIANCE = np.diag(P) - np.outer(P, P)
GRAM = np.array([[1.0, 0.1, 0.2], [0.1, 0.4, 0.0], [0.2, 0.0, 0.3]])
DOUBT = np.array([[0.0, 0.01, 0.02], [0.01, 0.03, 0.0], [0.02, 0.0, 0.04]])
MOMENT = np.random.default_rng(0).normal(size=(2, 3)) * 0.1
ROWS, NOISE, VARIANCE = 400.0, 0.03, 0.8


def _released(shares: ActionShares | None = None, **other: float) -> NoisyMoments:
    values = {"variance": VARIANCE, "rows": ROWS, "noise": NOISE} | other
    return NoisyMoments(Gram(GRAM, DOUBT), COVARIANCE, MOMENT, shares=shares, **values)


def _dense(sampled: np.ndarray, noised: np.ndarray, prior: np.ndarray, a_row: float, inverse: np.ndarray) -> np.ndarray:
    """Posterior mean (K, d) and covariance (K d, K d) of all effects at once: no basis, one linear model."""
    k, d = len(sampled), 3
    spread = np.diag(DOUBT @ prior)
    error = np.kron(sampled, GRAM) * a_row + np.kron(noised, np.eye(d)) * NOISE**2 + np.kron(np.eye(k), spread)
    design = np.kron(np.eye(k), GRAM)
    precision = design.T @ np.linalg.inv(error) @ design + np.kron(np.eye(k), np.diag(1 / prior))
    covariance = np.linalg.inv(precision)
    return np.column_stack([covariance @ design.T @ np.linalg.inv(error) @ (inverse @ MOMENT)[:k].ravel(), covariance])


@pytest.mark.parametrize(
    ("variance", "rows", "a_row"), [(0.8, 400.0, 0.002), (0.01, 400.0, 0.05 / 400), (0.8, 0.2, 0.8)]
)
def test_given_the_widths_effects_are_those_of_the_linear_model(variance: float, rows: float, a_row: float) -> None:
    """y = V^-1 B = G tau + error: sampling V^-1 x G s^2 / n, noise V^-2 sd^2, and the gram's own noise at the prior's size.

    A row has at least a variance of .05, and there is at least one.
    """
    inverse, prior = np.linalg.inv(COVARIANCE), np.array([0.09, 0.04, 0.01])
    likelihood = _Likelihood.of(_released(variance=variance, rows=rows))
    mean, factor = likelihood.condition(prior)
    dense = _dense(inverse, inverse @ inverse, prior, a_row, inverse)
    np.testing.assert_allclose((likelihood.rotation @ mean).ravel(), dense[:, 0], rtol=1e-6)
    blocks = factor @ factor.swapaxes(1, 2)
    whole = sum(np.kron(np.outer(u, u), block) for u, block in zip(likelihood.rotation.T, blocks, strict=True))
    np.testing.assert_allclose(whole, dense[:, 1:], rtol=1e-6, atol=1e-10)


def test_an_actions_error_is_that_of_the_share_in_which_it_was_taken() -> None:
    """In the basis in which the whole errors are independent: sampling by the contrasts, noise by V^-2, both over evidence."""
    shares = ActionShares(P, np.array([0.2, 0.1]), np.array([0.01, 0.01]), np.array([1.0, 0.25]))
    inverse = np.linalg.inv(COVARIANCE)
    unit = np.outer([1.0, 2.0], [1.0, 2.0])
    sampled, noised, a_row = shares.contrasts * unit, inverse @ inverse * unit, VARIANCE / ROWS
    found = _Likelihood.of(_released(shares))
    basis = np.linalg.eigh(sampled * a_row * np.trace(GRAM) / 3 + noised * NOISE**2)[1]
    np.testing.assert_allclose(np.abs(found.rotation), np.abs(basis))
    for u, error in zip(found.rotation.T, found.error, strict=True):
        np.testing.assert_allclose(
            error, GRAM * a_row * (u @ sampled @ u) + np.eye(3) * NOISE**2 * (u @ noised @ u), atol=1e-11
        )
    np.testing.assert_allclose(found.y, found.rotation.T @ inverse @ MOMENT)


def test_an_action_without_evidence_comes_after_the_others_and_keeps_the_prior() -> None:
    shares = ActionShares.of(P, np.array([0.0, 0.2]), np.array([0.01, 0.01]))
    likelihood = _Likelihood.of(_released(shares))
    assert likelihood.y.shape == (1, 3)
    np.testing.assert_allclose(np.abs(likelihood.rotation), [[0.0, 1.0], [1.0, 0.0]])
    found = released_posterior(PHI, _released(shares), widths=(0.1,), schedule=GibbsSchedule(2, 3, 1))
    assert found.means.shape == (3, 2, 3) and not found.means[:, 0].any() and found.means[:, 1].any()
    np.testing.assert_allclose(found.factors[:, 1], np.tile(np.eye(3) * 0.1, (3, 1, 1)))
    none = ActionShares.of(P, np.zeros(2), np.array([0.01, 0.01]))
    prior = released_posterior(PHI, _released(none), widths=(0.1,), schedule=GibbsSchedule(2, 3, 1))
    assert not prior.means.any()


def test_with_one_width_the_posterior_is_the_linear_models() -> None:
    inverse, prior = np.linalg.inv(COVARIANCE), np.full(3, 0.15**2)
    found = released_posterior(PHI, _released(), widths=(0.15,))
    dense = _dense(inverse, inverse @ inverse, prior, VARIANCE / ROWS, inverse)
    np.testing.assert_allclose(found.mean.ravel(), dense[:, 0], rtol=1e-6)
    assert found.means.shape == (50, 2, 3) and found.factors.shape == (50, 2, 3, 3)


@pytest.mark.parametrize(
    ("schedule", "sweeps"), [(GibbsSchedule(5, 4, 3), [5, 8, 11, 14]), (GibbsSchedule(0, 3, 1), [0, 1, 2])]
)
def test_after_the_burn_in_one_sweep_in_some_is_stored(
    schedule: GibbsSchedule, sweeps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    condition = _Likelihood.condition

    def noted(self: _Likelihood, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, factor = condition(self, prior)
        seen.append(self.rotation @ mean)
        return mean, factor

    monkeypatch.setattr(_Likelihood, "condition", noted)
    found = released_posterior(PHI, _released(), schedule=schedule)
    assert len(seen) == schedule.burn_in + schedule.draws * schedule.thin
    np.testing.assert_array_equal(found.means, np.stack([seen[i] for i in sweeps]))


def test_the_sampler_begins_in_the_middle_of_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[np.ndarray] = []
    condition = _Likelihood.condition

    def noted(self: _Likelihood, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.append(prior)
        return condition(self, prior)

    monkeypatch.setattr(_Likelihood, "condition", noted)
    released_posterior(PHI, _released(), widths=(0.1, 0.2, 0.4, 0.8, 1.6), schedule=GibbsSchedule(0, 1, 1))
    np.testing.assert_allclose(asked[0], np.full(3, 0.16))


def test_a_width_is_drawn_by_how_well_it_explains_the_effects() -> None:
    """P(w) ~ proportion x product of N(effect; 0, w^2) over the actions. 20,000 columns alike: an sd of .0035 at most."""
    grid, proportions = np.array([0.05, 0.2, 0.8]), np.array([0.5, 0.3, 0.2])
    effects = np.array([0.25, -0.1])
    density = proportions * np.array([np.prod(np.exp(-(effects**2) / (2 * w**2)) / w) for w in grid])
    n = 20_000
    drawn = _draw_widths(np.tile(effects[:, None], n), grid, np.tile(proportions, (n, 1)), np.random.default_rng(1))
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / n, density / density.sum(), atol=0.018)


def test_a_width_without_a_proportion_is_not_drawn_and_no_draw_leaves_the_grid() -> None:
    proportions = np.array([[0.0, 1.0, 0.0]])

    class Last:
        """A generator whose uniform draw is as large as rounding permits."""

        def random(self, n: int) -> np.ndarray:
            return np.full(n, 1.0)

    grid = np.array([0.05, 0.2, 0.8])
    assert _draw_widths(np.full((1, 1), 0.2), grid, proportions, np.random.default_rng(0)).tolist() == [1]
    assert _draw_widths(np.full((1, 1), 0.2), grid, np.full((1, 3), 1 / 3), Last()).max() <= 2  # type: ignore[arg-type]


def test_proportions_are_learned_within_each_group() -> None:
    """Mean of a Dirichlet: counts plus the prior's .5 on average, over their sum."""
    grid, rng = np.array([0.1, 0.4, 1.2]), np.random.default_rng(2)
    width, groups = np.array([0, 1, 1, 2, 2, 2]), np.array([0, 1, 1, 1, 2, 2])
    drawn = np.mean([_draw_proportions(width, groups, grid, rng) for _ in range(5_000)], axis=0)
    favour = np.exp(-(grid**2) / (2 * 0.4**2))
    favour *= CONCENTRATION / favour.mean()
    counts = np.array([[1, 0, 0], [0, 2, 1], [0, 0, 2]])
    np.testing.assert_allclose(drawn, (counts + favour) / (counts.sum(axis=1, keepdims=True) + 1.5), atol=0.02)


def test_the_intercept_and_the_hinges_are_groups_of_their_own() -> None:
    assert _groups(FeatureMap.of(SPEC, True)).tolist() == [0, 1, 1, 2, 2]
    assert _groups(PHI).tolist() == [0, 1, 1]


def test_a_draw_is_a_mean_and_its_own_noise_mapped_to_actions() -> None:
    """Two equally weighted parts, 1 apart: draws average to their middle, with the parts' covariance and their distance."""
    a = np.array([[0.3, 0.0], [0.1, 0.2]])
    factors = np.stack([np.stack([a, 2 * a])] * 2)
    rotation = np.array([[0.6, -0.8], [0.8, 0.6]])
    means = np.stack([np.zeros((2, 2)), np.ones((2, 2))])
    effects, rng = TargetEffects(means, factors, rotation), np.random.default_rng(3)
    np.testing.assert_allclose(effects.mean, np.full((2, 2), 0.5))
    drawn = np.stack([effects.draw(rng).ravel() for _ in range(6_000)])
    blocks = np.zeros((4, 4))
    blocks[:2, :2], blocks[2:, 2:] = a @ a.T, 4 * a @ a.T
    turn = np.kron(rotation, np.eye(2))
    np.testing.assert_allclose(np.cov(drawn.T), turn @ blocks @ turn.T + 0.25, atol=0.03)
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 0.04
    noise = np.stack([_noise(factors[0], rng) for _ in range(6_000)])
    np.testing.assert_allclose(np.cov(noise[:, 0].T), a @ a.T, atol=0.01)
