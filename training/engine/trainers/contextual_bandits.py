"""The heads beside policy: contextual bandits on what the joint release says of them, each with its own gate.

A sub-head's effect is a gain over its reference action in reward scales, now and later together
(privacy.engine.moments.continuation_value), so no rollout is needed: the greedy policy of the posterior mean, and the gate's z
from draws of the same posterior over the states in which the candidate for policy would speak (Thompson's posterior, used to
judge and not to explore). Several heads are asked of one release, and most of them matter little, so policy's bar over the
reference is made stricter by their number (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from core.arrays import Floats
from loops.engine.policies.linear import LinearPolicy, reference_policy
from loops.engine.thresholds import MODEL_BAR_REFERENCE
from privacy.engine.moments.effect_posterior import TargetEffects
from privacy.engine.moments.effects import sub_effects_posterior
from privacy.engine.moments.pooled import Moments
from privacy.engine.moments.release_layout import alternatives_of
from training.engine.trainers.protocol import LearnedSubHead

DRAWS = 400


def sub_bar(heads: int) -> float:
    """The bar of each of so many sub-heads, so that one of them passes by chance no more often than policy would: 1.85 for 3."""
    normal = NormalDist()
    return -normal.inv_cdf(normal.cdf(-MODEL_BAR_REFERENCE) / max(heads, 1))


def learn_sub_head(
    moments: Moments, head: str, states: Floats, rng: np.random.Generator, *, incumbent: LinearPolicy | None = None
) -> LearnedSubHead:
    """Train and gate one sub-head on model states (n, F) in which policy speaks."""
    layout = moments.layout
    posterior = sub_effects_posterior(moments, head)
    effects = _by_action(moments, head, posterior.mean)
    reference = reference_policy(layout.spec, head)
    policy = LinearPolicy(layout.linear().phi, effects, 0.0, layout.spec.head(head).reference_index)
    gains = _drawn_gains(moments, head, posterior, [policy] if incumbent is None else [policy, incumbent], states, rng)
    return LearnedSubHead(
        head=head,
        policy=policy,
        rival=incumbent or reference,
        effects=effects,
        gain=gains[0],
        gain_incumbent=None if incumbent is None else gains[0] - gains[1],
        bar=sub_bar(len(layout.subs)),
    )


def _by_action(moments: Moments, head: str, effects: Floats) -> Floats:
    declared = moments.layout.spec.head(head)
    out = np.zeros((len(declared.actions), moments.layout.linear().phi.width))
    out[list(alternatives_of(declared))] = effects
    return out


def _drawn_gains(
    moments: Moments, head: str, posterior: TargetEffects, policies: Sequence[LinearPolicy], states: Floats,
    rng: np.random.Generator,
) -> list[Floats]:  # fmt: skip
    """Mean gain over the reference, by draw (DRAWS,), of each policy: linear in the effects, so mean features are enough."""
    phi, count = moments.layout.linear().phi.phi(states), len(moments.layout.spec.head(head).actions)
    means = []
    for policy in policies:
        chosen = np.eye(count)[policy.actions(states)]
        means.append(chosen.T @ phi / max(len(states), 1))
    drawn = np.stack([_by_action(moments, head, posterior.draw(rng)) for _ in range(DRAWS)])
    return [np.asarray(np.einsum("rkd,kd->r", drawn, mean)) for mean in means]
