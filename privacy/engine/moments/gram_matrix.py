"""Estimate the gram of the features from its noised release, using public facts about it. Post-processing: no charge.

Identities hold exactly. A one-hot column is its own square, two columns of one category exclude each other, and a hinge
h = 2|z| - 1 has h^2 = 4 z^2 - 2h - 1. Entries are projected onto the identities by generalised least squares.

Null users, simulated from the loop file alone, show how features with known dynamics correlate. Most other features hardly
correlate. So covariances between different features are shrunk toward the null users' correlations. The noise, and the
release's own spread about them, decide how far (empirical Bayes: James and Stein 1961; for covariances Ledoit and Wolf 2004).
Means, variances, and the covariance of a number with its own hinge are not shrunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.arrays import Bools, Floats

if TYPE_CHECKING:
    from privacy.engine.moments.release_layout import ReleaseLayout

FLOOR_SDS, FLOOR = 2.0, 1e-3
_LEAST_VARIANCE, _LEAST_ROWS = 1e-3, 1e-3  # where nobody has a next state, the gram of such rows is noise about 0


@dataclass(frozen=True)
class Gram:
    """An estimate of E[phi phi'] (d, d), and the variance of the noise left in each entry (d, d)."""

    mean: Floats
    variance: Floats

    def leading(self, width: int) -> Gram:
        """Return the gram of the first ``width`` columns alone."""
        return Gram(self.mean[:width, :width], self.variance[:width, :width])

    def spread(self, squares: Floats) -> Floats:
        """Return the variance (d,) of (estimate - truth) x, for coefficients x with expected squares ``squares`` (d,)."""
        return np.asarray(self.variance @ squares)


def estimate_gram(layout: ReleaseLayout, released: Floats, variance: float, null: Floats) -> Gram:
    """Estimate the gram from a released gram (d, d).

    The diagonal has noise of ``variance``, the other entries half of it. ``null`` (d, d) is the null users' gram.
    """
    noise = variance * (0.5 + 0.5 * np.eye(len(released)))
    gram = _onto_identities(layout, released, noise)
    shrunk = _shrunk(gram, null, _of_different_features(layout))
    values, vectors = np.linalg.eigh(shrunk.mean)
    least = FLOOR_SDS * np.sqrt(shrunk.variance.mean()) + FLOOR
    return Gram(np.asarray((vectors * np.maximum(values, least)) @ vectors.T), shrunk.variance)


def _onto_identities(layout: ReleaseLayout, released: Floats, noise: Floats) -> Gram:
    """Project entries onto the identities, and update their variances (least squares under linear constraints)."""
    mean, variance = released.copy(), noise.copy()
    for columns in _categories(layout):
        exclude = np.ix_(columns, columns)
        mean[exclude], variance[exclude] = np.diag(np.diag(mean[exclude])), np.diag(np.diag(variance[exclude]))
    for entries, constants, right in _identities(layout, mean[0, 0]):
        at = tuple(np.array(entries).T)
        d = variance[at]
        if not d.any():
            continue
        gain = d * constants / float(d @ constants**2)
        mean[at] -= gain * (constants @ mean[at] - right)
        variance[at] -= gain * constants * d
    return Gram(_symmetric(mean), _symmetric(variance))


def _identities(layout: ReleaseLayout, rows: float) -> list[tuple[list[tuple[int, int]], Floats, float]]:
    """Return the identities, each as entries of the upper triangle, constants, and the sum of constants times entries.

    No entry is in two identities.
    """
    phi, out = layout.phi, []
    for columns in _categories(layout):
        out += [([(0, c), (c, c)], np.array([-1.0, 1.0]), 0.0) for c in columns]
    for h in phi.hinge_columns:
        z = phi.columns_of(layout.spec.features[phi.owners[h]].name)[0]
        out.append(([(h, h), (z, z), (0, h)], np.array([1.0, -4.0, 2.0]), -rows))
    return out


def _categories(layout: ReleaseLayout) -> list[tuple[int, ...]]:
    return [layout.phi.columns_of(f.name) for f in layout.spec.features if f.is_category]


def _of_different_features(layout: ReleaseLayout) -> Bools:
    """Return which entries (d, d) belong to two different features, excluding the intercept."""
    owners = np.array(layout.phi.owners)
    different = owners[:, None] != owners[None, :]
    different[0] = different[:, 0] = False
    return np.asarray(different)


def _shrunk(gram: Gram, null: Floats, pairs: Bools) -> Gram:
    """Shrink the covariances of ``pairs`` toward the null users' correlations."""
    rows = max(float(gram.mean[0, 0]), float(np.sqrt(gram.variance.max())), _LEAST_ROWS)
    mean, spread = gram.mean[0] / rows, gram.variance / rows**2
    covariance = gram.mean / rows - np.outer(mean, mean)
    of_means = mean[:, None] ** 2 * spread[0] + mean**2 * spread[0][:, None]
    target = _correlations(null) * np.sqrt(np.outer(_variances(covariance), _variances(covariance)))
    away, noise = covariance - target, spread + of_means
    own = max(float((away**2 - noise)[pairs].mean()), 0.0) if pairs.any() else 0.0
    # The released entry has error variance ``spread``. The guess (target and means) has ``own`` plus the means' noise.
    # Both errors are independent, which gives this weight of the released entry.
    weight = (own + of_means) / np.maximum(own + noise, 1e-12)
    estimate = np.where(pairs, target + weight * away, covariance)
    variance = np.where(pairs, weight * spread, spread)
    return Gram(np.asarray(rows * (estimate + np.outer(mean, mean))), np.asarray(rows**2 * variance))


def _correlations(gram: Floats) -> Floats:
    covariance = gram / gram[0, 0] - np.outer(gram[0], gram[0]) / gram[0, 0] ** 2
    scale = np.sqrt(_variances(covariance))
    return np.asarray(covariance / np.outer(scale, scale))


def _variances(covariance: Floats) -> Floats:
    return np.maximum(np.diag(covariance), _LEAST_VARIANCE)


def _symmetric(upper: Floats) -> Floats:
    return np.asarray(np.triu(upper) + np.triu(upper, 1).T)
