"""The baseline: how reward and change follow from the state alone, as a Gaussian posterior given the noised round 1.

For target j: b_j = G theta_j + error, with error variance = release noise + sampling + .5 sd_G^2 (.3 + |theta_prior|^2), the last
term because G itself is noisy. Prior: theta ~ N(reversion of .2 half-widths on the own feature, .5^2 + that^2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from privacy.engine.moments import Clips, Counts, Layout, grams
from privacy.engine.rows import Floats

REVERSION = 0.2
PRIOR_SD = 0.5


@dataclass(frozen=True)
class Baseline:
    """Posterior of theta: mean (d, m), and for each target a covariance (m, d, d)."""

    mean: Floats
    covariance: Floats


def psd(gram: Floats, sd: float) -> Floats:
    """The nearest symmetric matrix whose eigenvalues are at least 2 sd + 1e-3."""
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    return np.asarray((vectors * np.maximum(values, 2 * sd + 1e-3)) @ vectors.T)


def prior_mean(layout: Layout) -> Floats:
    """(d, m): each learned feature is pulled to the middle of its bounds by .2 half-widths a step."""
    mean = np.zeros((layout.phi.width, len(layout.targets)))
    for j, i in enumerate(layout.learned, start=1):
        feature = layout.spec.features[i]
        low, high = feature.bounds or (0.0, 1.0)
        column = layout.phi.names.index(feature.name)
        mean[column, j] = -REVERSION * (high - low) / 2 / (feature.scale or 1.0)
    return mean


def baseline_posterior(
    layout: Layout, clips: Clips, counts: Counts, baseline: Mapping[str, np.ndarray]
) -> Baseline:
    """Posterior of the baseline from the stored output of round 1."""
    gram, gram_next, users = grams(layout, baseline)
    sd_gram = float(baseline["gram_sd"][0]) / users
    sd_targets = float(baseline["targets_sd"][0]) / users
    d, m = layout.phi.width, len(layout.targets)
    target = baseline["targets"].reshape(d, m) / users
    prior = prior_mean(layout)
    sampling = clips.targets**2 / (d * m * users)
    means, covariances = np.empty((d, m)), np.empty((m, d, d))
    for j in range(m):
        g = psd(gram_next if layout.changes[j] else gram, sd_gram)
        noise = sd_targets**2 + sampling + 0.5 * sd_gram**2 * (0.3 + float(prior[:, j] @ prior[:, j]))
        precision = np.diag(1.0 / (PRIOR_SD**2 + prior[:, j] ** 2)) + g.T @ g / noise
        covariances[j] = np.linalg.inv(precision)
        means[:, j] = prior[:, j] + covariances[j] @ (g.T @ (target[:, j] - g @ prior[:, j])) / noise
    return Baseline(means, covariances)
