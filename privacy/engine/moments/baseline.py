"""Infer the baseline from released moments: how reward and state changes depend on the state, as a Gaussian posterior.

For target j: b_j = G theta_j + error. The error has three parts: the release's noise, equal in every direction; the noise left
in the estimate of G, times theta's expected squares; and sampling, G (1 + rho T) / (U T), which is small in directions in which
people hardly differ. Prior: theta ~ N(reversion of .2 half-widths on the own feature, w^2 + that^2), the intercept N(0, .5^2).
The width w is averaged over a grid by marginal likelihood, because most features hardly move most others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from privacy.engine.moments.gram_matrix import Gram
from privacy.engine.moments.pooled import Moments
from privacy.engine.moments.release_layout import ReleaseLayout

REVERSION = 0.2
PRIOR_SD = 0.5
BASELINE_WIDTHS = (0.03, 0.1, 0.25, 0.5)  # grid of w: prior sd of a coefficient, added to its prior mean in square


@dataclass(frozen=True)
class Baseline:
    """The posterior of theta: mean (d, m), and covariance (m, d, d) for each target."""

    mean: Floats
    covariance: Floats


def prior_mean(layout: ReleaseLayout) -> Floats:
    """Return the prior mean (d, m): each learned feature is pulled to the middle of its bounds by .2 half-widths a step."""
    mean = np.zeros((layout.phi.width, len(layout.targets)))
    for j, i in enumerate(layout.learned, start=1):
        feature = layout.spec.features[i]
        low, high = feature.range
        column = layout.phi.names.index(feature.name)
        mean[column, j] = -REVERSION * (high - low) / 2 / (feature.scale or 1.0)
    return mean


def baseline_posterior(moments: Moments) -> Baseline:
    """Compute the posterior of the baseline from the moments of one release, or of several pooled."""
    layout = moments.layout
    d, m = layout.phi.width, len(layout.targets)
    prior = prior_mean(layout)
    means, covariances = np.empty((d, m)), np.empty((m, d, d))
    for j, change in enumerate(layout.changes):
        gram = moments.change_gram if change else moments.level_gram
        error = moments.sampling[int(change)] * gram.mean + (moments.sd["targets"] ** 2 + 1e-12) * np.eye(d)
        means[:, j], covariances[j] = _posterior(gram, error, moments.targets[:, j], prior[:, j])
    return Baseline(means, covariances)


def _posterior(released: Gram, error: Floats, target: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Return mean (d,) and covariance (d, d) of theta, averaged over prior widths by marginal likelihood.

    The mixture over widths is moment-matched.
    """
    gram = released.mean
    residual = target - gram @ prior
    scores, means, covariances = [], [], []
    for width in BASELINE_WIDTHS:
        variance = width**2 + prior**2
        variance[0] = PRIOR_SD**2
        marginal = (gram * variance) @ gram.T + error + np.diag(released.spread(variance + prior**2))
        gain = np.linalg.solve(marginal, gram * variance).T
        scores.append(-0.5 * float(residual @ np.linalg.solve(marginal, residual) + np.linalg.slogdet(marginal)[1]))
        means.append(prior + gain @ residual)
        covariances.append(np.diag(variance) - gain @ (gram * variance))
    weights = np.exp(np.array(scores) - max(scores))
    weights /= weights.sum()
    mean = np.tensordot(weights, np.stack(means), axes=1)
    spread = np.stack(means) - mean
    covariance = np.tensordot(weights, np.stack(covariances), axes=1) + (spread.T * weights) @ spread
    return np.asarray(mean), np.asarray((covariance + covariance.T) / 2)
