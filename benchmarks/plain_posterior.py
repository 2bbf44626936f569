"""Compute the baseline estimate of a release: the Gram matrix as released, and one prior width per group of columns.

Every combination of widths for intercept, linear columns and hinges is weighted by its marginal likelihood (empirical Bayes). The
eigenvalues of the Gram matrix have a floor of two noise standard deviations, also in the simulated world. Every entry has the
same uncertainty.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from core.arrays import Floats
from loops.engine.features import FeatureMap
from privacy.engine.moments.effect_posterior import EFFECT_WIDTHS, HYPER_SD, NoisyMoments, TargetEffects
from privacy.engine.moments.gram_matrix import Gram
from privacy.engine.moments.pooled import Moments

_DRAWN = 200


def with_released_grams(moments: Moments) -> Moments:
    """Return the moments with the Gram matrices as released, instead of the estimated ones."""
    plain, sd = replace(moments), moments.sd["gram"]
    grams = {"level_gram": moments.gram, "change_gram": moments.gram_next}
    plain.__dict__.update(
        {name: _floored(gram, sd) for name, gram in grams.items()}
    )  # where cached_property stores them
    return plain


def _floored(gram: Floats, sd: float) -> Gram:
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    raised = np.asarray((vectors * np.maximum(values, 2 * sd + 1e-3)) @ vectors.T)
    return Gram(raised, np.full_like(gram, 0.5 * sd**2))


def group_posterior(phi: FeatureMap, released: NoisyMoments) -> TargetEffects:
    """Compute posterior means of one target's effects with one prior width per group, as a mixture over sampled widths.

    The posterior has no spread within each width.
    """
    inverse = np.asarray(np.linalg.inv(released.covariance), dtype=np.float64)
    y, k = (inverse @ released.moment).reshape(-1), len(inverse)
    gram = released.gram.mean
    design = np.asarray(np.kron(np.eye(k), gram))
    sampling = np.kron(inverse, gram) * max(released.variance, 0.05) / max(released.rows, 1.0)
    error = sampling + np.kron(inverse @ inverse.T, np.eye(len(gram))) * released.noise**2
    scores: list[float] = []
    conditioned: list[tuple[Floats, Floats, Floats]] = []  # design, prior variances, covariance of y
    for prior, hyper in _priors(phi):
        wide, spread = np.tile(prior, k), np.tile(released.gram.spread(prior), k)
        marginal = np.asarray((design * wide) @ design.T + error + np.diag(spread + 1e-12))
        scores.append(hyper - 0.5 * float(y @ np.linalg.solve(marginal, y) + np.linalg.slogdet(marginal)[1]))
        conditioned.append((design, wide, marginal))
    weights = np.exp(np.array(scores) - max(scores))
    drawn = np.random.default_rng(0).choice(len(weights), size=_DRAWN, p=weights / weights.sum())
    means = {i: _mean(conditioned[i], y) for i in set(drawn.tolist())}
    shape = released.moment.shape
    doubt = np.zeros((_DRAWN, k, len(gram), len(gram)))
    return TargetEffects(np.stack([means[i].reshape(shape) for i in drawn.tolist()]), doubt, np.eye(k))


def _mean(conditioned: tuple[Floats, Floats, Floats], y: Floats) -> Floats:
    design, wide, marginal = conditioned
    return np.asarray((design * wide).T @ np.linalg.solve(marginal, y))


def _priors(phi: FeatureMap) -> list[tuple[Floats, float]]:
    groups = [np.arange(1), np.arange(1, phi.width - len(phi.hinge_columns)), np.array(phi.hinge_columns, dtype=int)]
    groups = [g for g in groups if g.size]
    out = []
    for widths in product(EFFECT_WIDTHS, repeat=len(groups)):
        prior = np.zeros(phi.width)
        for group, width in zip(groups, widths, strict=True):
            prior[group] = width**2
        out.append((prior, -sum(w**2 for w in widths) / (2 * HYPER_SD**2)))
    return out
