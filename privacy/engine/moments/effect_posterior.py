"""Infer one target's action effects from its released moment, under a prior where most columns of phi have no effect.

Release: B = V G tau + error, so V^-1 B estimates G tau with error covariance
V^-1 (x) G sigma^2 / n (sampling) + V^-1 V^-T (x) I sd_B^2 (noise) + the noise left in the estimate of G, times tau^2.

Prior: the effects tau[a, c] of all actions a share the width w_c of their column c. Widths come from a grid. Each group of
columns (intercept; linear and categories; hinges) learns the grid's proportions from the release, under a Dirichlet(.5 times a
half-normal(.4) of w). Where few columns matter, the others are held near 0. Where all columns matter, none is held. A single
width for a whole group achieved neither.

Sources: scale mixtures with learned proportions, Stephens 2017; widths by column (automatic relevance determination), MacKay
1994; the sampler, George and McCulloch 1993.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.arrays import Bools, Floats, Ints
from loops.engine.features import FeatureMap
from privacy.engine.moments.action_shares import ActionShares
from privacy.engine.moments.gram_matrix import Gram

EFFECT_WIDTHS = (0.02, 0.06, 0.15, 0.35, 0.8)
HYPER_SD, CONCENTRATION = 0.4, 0.5
_SEED = 0  # the posterior is a function of the release alone


@dataclass(frozen=True)
class GibbsSchedule:
    """The sweeps of a Gibbs sampler: ``burn_in`` are discarded, then ``draws`` are stored, one in ``thin``."""

    burn_in: int = 100
    draws: int = 50
    thin: int = 4


FULL_SCHEDULE = GibbsSchedule()


@dataclass(frozen=True)
class TargetEffects:
    """The posterior of one target's effects, a mixture over w equally weighted draws of the prior widths.

    means (w, K-1, d). factors (w, K-1, d, d): square roots of the covariances of independent blocks. ``rotation`` (K-1, K-1) maps
    the blocks to actions.
    """

    means: Floats
    factors: Floats
    rotation: Floats

    @property
    def mean(self) -> Floats:
        """Return the posterior mean (K-1, d)."""
        return np.asarray(self.means.mean(axis=0))

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw effects (K-1, d) once: first the widths, then the coefficients."""
        w = rng.integers(len(self.means))
        return np.asarray(self.means[w] + self.rotation @ _noise(self.factors[w], rng))


@dataclass(frozen=True)
class NoisyMoments:
    """One target's released block: moment (K-1, d) = covariance x gram x effects + error.

    ``variance`` is the target's residual variance, ``rows`` the number of rows behind the moment, and ``noise`` the standard
    deviation of the noise on an entry of it. ``shares``: how often each action was taken, None for as declared.
    """

    gram: Gram
    covariance: Floats
    moment: Floats
    variance: float
    rows: float
    noise: float
    shares: ActionShares | None = None


def released_posterior(
    phi: FeatureMap,
    released: NoisyMoments,
    widths: tuple[float, ...] = EFFECT_WIDTHS,
    schedule: GibbsSchedule = FULL_SCHEDULE,
) -> TargetEffects:
    """Compute the posterior of one target's effects by Gibbs sampling over the columns' widths.

    Each stored sweep gives a Gaussian instead of a point, so the effects are integrated out of the result. Where the gram is
    noisy the sampler is an approximation. A width changes the error through the gram's noise, and the sampler ignores what that
    implies about the width. A collapsed sampler that included it gave the same intervals.
    """
    rng, grid = np.random.default_rng(_SEED), np.array(widths)
    likelihood, groups = _Likelihood.of(released), _groups(phi)
    unseen = (len(released.moment) - len(likelihood.y), phi.width)
    width = np.full(phi.width, len(grid) // 2)
    means, factors = [], []
    for sweep in range(schedule.burn_in + schedule.draws * schedule.thin):
        mean, factor = likelihood.condition(grid[width] ** 2)
        if sweep >= schedule.burn_in and (sweep - schedule.burn_in) % schedule.thin == 0:
            means.append(likelihood.rotation @ np.concatenate([mean, np.zeros(unseen)]))
            factors.append(np.concatenate([factor, np.broadcast_to(np.diag(grid[width]), (*unseen, phi.width))]))
        proportions = _draw_proportions(width, groups, grid, rng)
        width = _draw_widths(mean + _noise(factor, rng), grid, proportions[groups], rng)
    return TargetEffects(np.stack(means), np.stack(factors), likelihood.rotation)


@dataclass(frozen=True)
class _Likelihood:
    """The likelihood y = G tau + error in a basis of the S actions with evidence in which their errors are independent.

    y (S, d). error (S, d, d): error covariance without the part that the gram's own noise adds. Actions share a column's width,
    so the prior is equal in any basis. So S problems of size d are solved instead of one of size S d. With constant propensities
    as declared the basis is that of V. Otherwise sampling and noise have no common basis, and small covariances are left out.
    ``rotation`` (K-1, K-1) maps the basis, followed by the actions without evidence, to actions.
    """

    y: Floats
    error: Floats
    gram: Gram
    rotation: Floats

    @classmethod
    def of(cls, released: NoisyMoments) -> _Likelihood:
        inverse, gram = np.asarray(np.linalg.inv(released.covariance), dtype=np.float64), released.gram.mean
        seen, sampled, noised = _action_errors(inverse, released.shares)
        a_row = max(released.variance, 0.05) / max(released.rows, 1.0)
        whole = sampled * (a_row * np.trace(gram) / len(gram)) + noised * released.noise**2
        basis = np.linalg.eigh(whole)[1]
        error = [
            gram * (a_row * float(b @ sampled @ b))
            + np.eye(len(gram)) * (released.noise**2 * float(b @ noised @ b) + 1e-12)
            for b in basis.T
        ]
        return cls(
            y=basis.T @ (inverse @ released.moment)[seen],
            error=np.array(error).reshape(-1, *gram.shape),
            gram=released.gram,
            rotation=_to_actions(basis, seen),
        )

    def condition(self, prior: Floats) -> tuple[Floats, Floats]:
        """Return posterior means (K-1, d) and square roots of covariances (K-1, d, d), given the prior variances (d,)."""
        gram = self.gram.mean
        spread = np.diag(self.gram.spread(prior))  # of (estimate - G) tau, tau at its prior expectation
        weighed = np.linalg.solve(self.error + spread, np.broadcast_to(gram, self.error.shape))
        precision = gram.T @ weighed + np.diag(1.0 / prior)
        lower = np.linalg.cholesky((precision + precision.swapaxes(1, 2)) / 2)
        factor = np.linalg.inv(lower).swapaxes(1, 2)
        projected = np.einsum("kji,kj->ki", weighed, self.y)
        return np.einsum("kij,klj,kl->ki", factor, factor, projected, optimize=True), np.asarray(factor)


def _action_errors(inverse: Floats, shares: ActionShares | None) -> tuple[Bools, Floats, Floats]:
    """Return which actions (K-1,) have evidence, and the covariances (S, S) of their sampling error and of the noise.

    ``inverse`` is V^-1. Both are a unit: of the residual variance a row, and of the noise's variance on an entry.
    """
    if shares is None:
        return np.ones(len(inverse), bool), inverse, inverse @ inverse
    seen, spread = shares.supported, 1.0 / np.sqrt(shares.evidence)
    of_seen, unit = np.ix_(seen, seen), np.outer(spread, spread)
    return seen, (shares.contrasts * unit)[of_seen], (inverse @ inverse * unit)[of_seen]


def _to_actions(basis: Floats, seen: Bools) -> Floats:
    """Return the map (K-1, K-1) to actions from the basis (S, S) of those with evidence, followed by the others."""
    order, rotation = np.concatenate([np.flatnonzero(seen), np.flatnonzero(~seen)]), np.eye(len(seen))
    rotation[: len(basis), : len(basis)] = basis
    out = np.empty_like(rotation)
    out[order] = rotation
    return out


def _noise(factor: Floats, rng: np.random.Generator) -> Floats:
    """Draw zero-mean noise (K-1, d) from square roots of covariances (K-1, d, d)."""
    return np.asarray(np.einsum("kij,kj->ki", factor, rng.normal(size=factor.shape[:2])))


def _draw_proportions(width: Ints, groups: Ints, grid: Floats, rng: np.random.Generator) -> Floats:
    """Draw the proportions of the grid's widths in each group of columns (groups, w), given the columns' widths."""
    favour = np.exp(-(grid**2) / (2 * HYPER_SD**2))
    favour *= CONCENTRATION / favour.mean()
    counts = [np.bincount(width[groups == g], minlength=len(grid)) for g in range(int(groups.max()) + 1)]
    return np.stack([rng.dirichlet(count + favour) for count in counts])


def _draw_widths(effects: Floats, grid: Floats, proportions: Floats, rng: np.random.Generator) -> Ints:
    """Draw the index of each column's width (d,), given effects (K-1, d) in any basis and its group's proportions (d, w)."""
    squares = (effects**2).sum(axis=0)[:, None]
    scores = -0.5 * squares / grid**2 - len(effects) * np.log(grid) + np.log(proportions + 1e-300)
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    below = np.cumsum(chances, axis=1) < rng.random(len(squares))[:, None] * chances.sum(axis=1, keepdims=True)
    return np.asarray(np.minimum(below.sum(axis=1), len(grid) - 1))


def _groups(phi: FeatureMap) -> Ints:
    """Return the group of each column (d,): 0 the intercept, 1 linear and categories, 2 hinges."""
    groups = np.ones(phi.width, dtype=np.int64)
    groups[0] = 0
    groups[list(phi.hinge_columns)] = 2
    return groups
