"""Infer the effects of actions from released moments: a posterior for every target, and one for each sub-head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from loops.engine.features import FeatureMap
from privacy.engine.moments.baseline import Baseline
from privacy.engine.moments.effect_posterior import NoisyMoments, TargetEffects, released_posterior
from privacy.engine.moments.pooled import Moments
from privacy.engine.moments.release_layout import covariance_of

SUB_WIDTHS = (0.003, 0.01, 0.03, 0.1, 0.3)  # narrower: a sub-head's choice matters less than whether to intervene


@dataclass(frozen=True)
class Effects:
    """The posterior of the effects: one mixture per target, in the order of ``layout.targets``."""

    targets: tuple[TargetEffects, ...]

    @property
    def mean(self) -> Floats:
        """Return the posterior mean (K-1, d, m)."""
        return np.stack([t.mean for t in self.targets], axis=2)

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw the effects (K-1, d, m) once."""
        return np.stack([t.draw(rng) for t in self.targets], axis=2)


def effects_posterior(
    moments: Moments, target_posterior: Callable[[FeatureMap, NoisyMoments], TargetEffects] = released_posterior
) -> Effects:
    """Compute the posterior of every target's effects. ``target_posterior`` computes it from one target's block."""
    layout = moments.layout
    targets = []
    for j, change in enumerate(layout.changes):
        released = NoisyMoments(
            gram=moments.change_gram if change else moments.level_gram,
            covariance=layout.covariance,
            moment=moments.effects[:, :, j],
            variance=float(moments.residual_variances[j]),
            rows=moments.rows,
            noise=moments.sd["effects"] / float(layout.target_weights[j]),
            shares=moments.shares,
        )
        targets.append(target_posterior(layout.phi, released))
    return Effects(tuple(targets))


def sub_effects_posterior(moments: Moments, head: str) -> TargetEffects:
    """Compute the posterior of a sub-head's effects (K_h-1, d) on linear features.

    Effects are in reward scales and include the immediate reward and the later worth of the changes.
    """
    block, phi = moments.subs[head], moments.layout.linear().phi
    released = NoisyMoments(
        gram=moments.level_gram.leading(phi.width),
        covariance=covariance_of(moments.layout.spec.head(head)),
        moment=block.effects,
        variance=block.variance,
        rows=block.rows,
        noise=block.sd,
        shares=block.shares,
    )
    return released_posterior(phi, released, SUB_WIDTHS)


def known_effects(moments: Moments, effects: Effects) -> Floats:
    """Return posterior means by action (K, d, m), 0 for the reference. A later release subtracts them from its targets."""
    known = np.zeros((len(moments.layout.main.actions), *effects.mean.shape[1:]))
    known[list(moments.layout.alternatives)] = effects.mean
    return known


def draw_baseline(baseline: Baseline, rng: np.random.Generator) -> Floats:
    """Draw the baseline coefficients (d, m) once."""
    out = np.empty_like(baseline.mean)
    for j in range(out.shape[1]):
        values, vectors = np.linalg.eigh(baseline.covariance[j])
        out[:, j] = baseline.mean[:, j] + vectors @ (np.sqrt(np.maximum(values, 0)) * rng.normal(size=len(values)))
    return out
