"""What a release says about the effects of actions: a Gaussian posterior whose prior widths are learned from the release.

For target j the release gives B (K-1, d); D = V^-1 B estimates G tau, with error covariance
V^-1 (V) V^-1 (x) G sigma_j^2 / n (sampling) + V^-1 V^-T (x) I sd_B^2 (noise) + I sd_G^2 |tau|^2 (the gram is noisy too).
Prior: tau ~ N(0, s_g^2) in three groups of coefficients (intercept, linear and categories, hinges); the widths s_g are
weighted by marginal likelihood times a half-normal(.4) hyper-prior on a grid (empirical-Bayes average, never one fixed width).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from loops.engine.features import FeatureMap
from privacy.engine.baseline import Baseline, psd
from privacy.engine.layout import covariance_of
from privacy.engine.moments import Moments
from privacy.engine.rows import Bools, Floats

WIDTHS = (0.02, 0.06, 0.15, 0.35, 0.8)
SUB_WIDTHS = (0.003, 0.01, 0.03, 0.1, 0.3)  # what a sub-head chooses matters less than whether anything is said
HYPER_SD = 0.4
_KEPT_MASS = 1e-4  # prior widths with less posterior weight are dropped


@dataclass(frozen=True)
class TargetEffects:
    """Mixture over prior widths for one target: weights (w,), means (w, K-1, d), Cholesky factors (w, q, q), q = (K-1) d."""

    weights: Floats
    means: Floats
    factors: Floats

    @property
    def mean(self) -> Floats:
        """(K-1, d) posterior mean."""
        return np.tensordot(self.weights, self.means, axes=1)

    def draw(self, rng: np.random.Generator) -> Floats:
        """(K-1, d) one draw: a prior width by its weight, then the coefficients."""
        w = rng.choice(len(self.weights), p=self.weights)
        noise = self.factors[w] @ rng.normal(size=self.factors.shape[1])
        return np.asarray(self.means[w] + noise.reshape(self.means.shape[1:]))


@dataclass(frozen=True)
class Effects:
    """Posterior of the effects, one mixture a target, in the order of ``layout.targets``."""

    targets: tuple[TargetEffects, ...]

    @property
    def mean(self) -> Floats:
        """(K-1, d, m)."""
        return np.stack([t.mean for t in self.targets], axis=2)

    def draw(self, rng: np.random.Generator) -> Floats:
        """(K-1, d, m)."""
        return np.stack([t.draw(rng) for t in self.targets], axis=2)


def effects_posterior(moments: Moments) -> Effects:
    """The posterior of every target's effects."""
    layout = moments.layout
    targets = []
    for j, change in enumerate(layout.changes):
        released = Released(
            gram=psd(moments.gram_next if change else moments.gram, moments.sd["gram"]),
            covariance=layout.covariance,
            moment=moments.effects[:, :, j],
            variance=float(moments.variances[j]),
            rows=moments.rows,
            noise=moments.sd["effects"] / float(layout.target_weights[j]),
            noise_gram=moments.sd["gram"],
        )
        targets.append(released_posterior(layout.phi, released))
    return Effects(tuple(targets))


def sub_effects_posterior(moments: Moments, head: str) -> TargetEffects:
    """The posterior of a sub-head's effects (K_h-1, d) on linear features: reward scales, now and later together."""
    found, phi = moments.subs[head], moments.layout.linear().phi
    released = Released(
        gram=psd(moments.gram[: phi.width, : phi.width], moments.sd["gram"]),
        covariance=covariance_of(moments.layout.spec.head(head)),
        moment=found.effects,
        variance=found.variance,
        rows=found.rows,
        noise=found.sd,
        noise_gram=moments.sd["gram"],
    )
    return released_posterior(phi, released, SUB_WIDTHS)


def known_effects(moments: Moments, effects: Effects) -> Floats:
    """(K, d, m) posterior means by action, 0 for the reference: what a later release takes off its targets."""
    known = np.zeros((len(moments.layout.main.actions), *effects.mean.shape[1:]))
    known[list(moments.layout.alternatives)] = effects.mean
    return known


@dataclass(frozen=True)
class Released:
    """One target's block: moment (K-1, d) = covariance x gram x effects + error, residual variance, rows behind it, noise."""

    gram: Floats
    covariance: Floats
    moment: Floats
    variance: float
    rows: float
    noise: float
    noise_gram: float


def released_posterior(phi: FeatureMap, released: Released, widths: tuple[float, ...] = WIDTHS) -> TargetEffects:
    """Posterior of one target's effects, prior widths averaged over."""
    inverse: Floats = np.asarray(np.linalg.inv(released.covariance), dtype=np.float64)
    estimate = inverse @ released.moment
    alternatives = len(estimate)
    design: Floats = np.asarray(np.kron(np.eye(alternatives), released.gram), dtype=np.float64)
    error = _error_covariance(released, inverse)
    priors: list[tuple[Floats, Floats]] = []
    scores: list[float] = []
    for prior, hyper in _priors(phi, widths):
        # An entry of (G_noisy - G) tau has variance sd_G^2 |tau|^2; |tau|^2 at its prior expectation.
        spread = np.eye(alternatives * len(prior)) * (0.5 * released.noise_gram**2 * float(prior.sum()))
        marginal = (design * np.tile(prior, alternatives)) @ design.T + error + spread
        priors.append((prior, marginal))
        scores.append(hyper + _log_likelihood(marginal, estimate.reshape(-1)))
    weights = np.exp(np.array(scores) - max(scores))
    weights /= weights.sum()
    kept = [i for i in range(len(weights)) if weights[i] > _KEPT_MASS]
    conditioned = [_condition(design, priors[i][0], priors[i][1], estimate) for i in kept]
    return TargetEffects(
        weights[kept] / weights[kept].sum(),
        np.stack([c[0] for c in conditioned]),
        np.stack([c[1] for c in conditioned]),
    )


def _priors(phi: FeatureMap, grid: tuple[float, ...]) -> list[tuple[Floats, float]]:
    """Every combination of prior widths: variances of the coefficients (d,), and the log hyper-prior."""
    groups = _groups(phi)
    out = []
    for widths in product(grid, repeat=len(groups)):
        prior = np.zeros(phi.width)
        for group, width in zip(groups, widths, strict=True):
            prior[group] = width**2
        out.append((prior, -sum(w**2 for w in widths) / (2 * HYPER_SD**2)))
    return out


def _error_covariance(released: Released, inverse: Floats) -> Floats:
    """Sampling error of V^-1 B with independent rows, and the release's noise carried through V^-1."""
    sampling = np.kron(inverse, released.gram) * max(released.variance, 0.05) / max(released.rows, 1.0)
    noise = np.kron(inverse @ inverse.T, np.eye(len(released.gram))) * released.noise**2
    return np.asarray(sampling + noise + 1e-12 * np.eye(len(sampling)))


def _log_likelihood(marginal: Floats, y: Floats) -> float:
    factor = np.linalg.cholesky(marginal)
    white = np.linalg.solve(factor, y)
    return -0.5 * float(white @ white) - float(np.log(np.diag(factor)).sum())


def _condition(design: Floats, prior: Floats, marginal: Floats, estimate: Floats) -> tuple[Floats, Floats]:
    """Posterior mean (K-1, d) and a square root (q, q) of the posterior covariance."""
    alternatives = estimate.shape[0]
    wide = np.tile(prior, alternatives)
    gain = np.linalg.solve(marginal, design * wide).T
    covariance = np.diag(wide) - gain @ (design * wide)
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    mean = gain @ estimate.reshape(-1)
    return mean.reshape(alternatives, -1), vectors * np.sqrt(np.maximum(values, 0.0))


def _groups(phi: FeatureMap) -> list[Bools]:
    """Columns of phi by prior group: intercept; linear and categories; hinges (absent when there are none)."""
    hinge = np.isin(np.arange(phi.width), phi.hinge_columns)
    intercept = np.arange(phi.width) == 0
    groups = [intercept, ~intercept & ~hinge, hinge]
    return [g for g in groups if g.any()]


def draw_baseline(baseline: Baseline, rng: np.random.Generator) -> Floats:
    """(d, m) one draw of the baseline coefficients."""
    out = np.empty_like(baseline.mean)
    for j in range(out.shape[1]):
        values, vectors = np.linalg.eigh(baseline.covariance[j])
        out[:, j] = baseline.mean[:, j] + vectors @ (np.sqrt(np.maximum(values, 0)) * rng.normal(size=len(values)))
    return out
