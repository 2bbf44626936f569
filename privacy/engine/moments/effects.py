"""What a release says about the effects of actions: a posterior for every target, and for each sub-head."""

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

SUB_WIDTHS = (0.003, 0.01, 0.03, 0.1, 0.3)  # what a sub-head chooses matters less than whether anything is said


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


def effects_posterior(
    moments: Moments, of: Callable[[FeatureMap, NoisyMoments], TargetEffects] = released_posterior
) -> Effects:
    """The posterior of every target's effects; ``of`` says what one target's block tells."""
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
        )
        targets.append(of(layout.phi, released))
    return Effects(tuple(targets))


def sub_effects_posterior(moments: Moments, head: str) -> TargetEffects:
    """The posterior of a sub-head's effects (K_h-1, d) on linear features: reward scales, now and later together."""
    found, phi = moments.subs[head], moments.layout.linear().phi
    released = NoisyMoments(
        gram=moments.level_gram.leading(phi.width),
        covariance=covariance_of(moments.layout.spec.head(head)),
        moment=found.effects,
        variance=found.variance,
        rows=found.rows,
        noise=found.sd,
    )
    return released_posterior(phi, released, SUB_WIDTHS)


def known_effects(moments: Moments, effects: Effects) -> Floats:
    """(K, d, m) posterior means by action, 0 for the reference: what a later release takes off its targets."""
    known = np.zeros((len(moments.layout.main.actions), *effects.mean.shape[1:]))
    known[list(moments.layout.alternatives)] = effects.mean
    return known


def draw_baseline(baseline: Baseline, rng: np.random.Generator) -> Floats:
    """(d, m) one draw of the baseline coefficients."""
    out = np.empty_like(baseline.mean)
    for j in range(out.shape[1]):
        values, vectors = np.linalg.eigh(baseline.covariance[j])
        out[:, j] = baseline.mean[:, j] + vectors @ (np.sqrt(np.maximum(values, 0)) * rng.normal(size=len(values)))
    return out
