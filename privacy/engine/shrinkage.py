"""One target's effects from its released moment: a posterior under which most columns of phi change nothing about an action.

Release: B = V G tau + error, so V^-1 B estimates G tau with error covariance
V^-1 (x) G sigma^2 / n (sampling) + V^-1 V^-T (x) I sd_B^2 (noise) + the noise left in the estimate of G, times tau^2.
Prior: the effects tau[a, c] of all actions a share the width w_c of their column c. It comes from a grid with proportions that
each group of columns (intercept; linear and categories; hinges) learns from the release, under a Dirichlet(.5 times a
half-normal(.4) of w). Where few columns matter the others are held near 0; where all do, none is. One width for a whole group
did neither. Scale mixtures with learned proportions: Stephens 2017; widths by column: automatic relevance determination,
MacKay 1994; the sampler: George and McCulloch 1993.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loops.engine.features import FeatureMap
from privacy.engine.gram import Gram
from privacy.engine.rows import Floats, Ints

WIDTHS = (0.02, 0.06, 0.15, 0.35, 0.8)
HYPER_SD, CONCENTRATION = 0.4, 0.5
BURN_IN, KEPT, THIN = 60, 32, 4
_SEED = 0  # the posterior is a function of the release alone


@dataclass(frozen=True)
class TargetEffects:
    """Mixture over w sampled prior widths, all weighing alike: means (w, K-1, d), square roots of covariances (w, q, q) with
    q = (K-1) d.
    """

    means: Floats
    factors: Floats

    @property
    def mean(self) -> Floats:
        """(K-1, d) posterior mean."""
        return np.asarray(self.means.mean(axis=0))

    def draw(self, rng: np.random.Generator) -> Floats:
        """(K-1, d) one draw: widths, then the coefficients."""
        w = rng.integers(len(self.means))
        noise = self.factors[w] @ rng.normal(size=self.factors.shape[1])
        return np.asarray(self.means[w] + noise.reshape(self.means.shape[1:]))


@dataclass(frozen=True)
class Released:
    """One target's block: moment (K-1, d) = covariance x gram x effects + error, residual variance, rows behind it, noise."""

    gram: Gram
    covariance: Floats
    moment: Floats
    variance: float
    rows: float
    noise: float


def released_posterior(phi: FeatureMap, released: Released, widths: tuple[float, ...] = WIDTHS) -> TargetEffects:
    """Posterior of one target's effects by Gibbs sampling over the columns' widths; the effects themselves are integrated out
    of what is kept (each kept sweep gives a Gaussian, not a point).
    """
    rng, grid = np.random.default_rng(_SEED), np.array(widths)
    likelihood, groups = _Likelihood.of(released), _groups(phi)
    width = np.full(phi.width, len(grid) // 2)
    means, factors = [], []
    for sweep in range(BURN_IN + KEPT * THIN):
        mean, factor = likelihood.condition(grid[width] ** 2)
        if sweep >= BURN_IN and (sweep - BURN_IN) % THIN == 0:
            means.append(mean.reshape(released.moment.shape))
            factors.append(factor)
        effects = (mean + factor @ rng.normal(size=len(mean))).reshape(released.moment.shape)
        width = _draw_widths(effects, grid, _draw_proportions(width, groups, grid, rng)[groups], rng)
    return TargetEffects(np.stack(means), np.stack(factors))


@dataclass(frozen=True)
class _Likelihood:
    """y = design tau + error, error covariance without what the gram's own noise adds."""

    y: Floats
    design: Floats
    error: Floats
    gram: Gram
    alternatives: int

    @classmethod
    def of(cls, released: Released) -> _Likelihood:
        inverse = np.asarray(np.linalg.inv(released.covariance), dtype=np.float64)
        gram, identity = released.gram.mean, np.eye(len(released.gram.mean))
        sampling = np.kron(inverse, gram) * max(released.variance, 0.05) / max(released.rows, 1.0)
        noise = np.kron(inverse @ inverse.T, identity) * released.noise**2
        return cls(
            y=(inverse @ released.moment).reshape(-1),
            design=np.asarray(np.kron(np.eye(len(inverse)), gram)),
            error=np.asarray(sampling + noise + 1e-12 * np.eye(len(sampling))),
            gram=released.gram,
            alternatives=len(inverse),
        )

    def condition(self, prior: Floats) -> tuple[Floats, Floats]:
        """Posterior mean (q,) and a square root (q, q) of its covariance, given the columns' prior variances (d,)."""
        spread = np.tile(
            self.gram.spread(prior), self.alternatives
        )  # of (estimate - G) tau, tau at its prior expectation
        weighed = np.linalg.solve(self.error + np.diag(spread), self.design)
        precision = self.design.T @ weighed + np.diag(np.tile(1.0 / prior, self.alternatives))
        lower = np.linalg.cholesky((precision + precision.T) / 2)
        factor = np.linalg.inv(lower).T
        return np.asarray(factor @ (factor.T @ (weighed.T @ self.y))), np.asarray(factor)


def _draw_proportions(width: Ints, groups: Ints, grid: Floats, rng: np.random.Generator) -> Floats:
    """(groups, w) proportions of the grid's widths in each group of columns, given the columns' widths."""
    favour = np.exp(-(grid**2) / (2 * HYPER_SD**2))
    favour *= CONCENTRATION / favour.mean()
    counts = [np.bincount(width[groups == g], minlength=len(grid)) for g in range(int(groups.max()) + 1)]
    return np.stack([rng.dirichlet(count + favour) for count in counts])


def _draw_widths(effects: Floats, grid: Floats, proportions: Floats, rng: np.random.Generator) -> Ints:
    """(d,) index of each column's width, given its effects (K-1, d) and the proportions (d, w) of its group."""
    squares = (effects**2).sum(axis=0)[:, None]
    scores = -0.5 * squares / grid**2 - len(effects) * np.log(grid) + np.log(proportions + 1e-300)
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    below = np.cumsum(chances, axis=1) < rng.random(len(squares))[:, None] * chances.sum(axis=1, keepdims=True)
    return np.asarray(np.minimum(below.sum(axis=1), len(grid) - 1))


def _groups(phi: FeatureMap) -> Ints:
    """(d,) group of each column: 0 the intercept, 1 linear and categories, 2 hinges."""
    groups = np.ones(phi.width, dtype=np.int64)
    groups[0] = 0
    groups[list(phi.hinge_columns)] = 2
    return groups
