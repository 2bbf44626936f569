"""Train the heads other than policy as contextual bandits on the joint release, each with its own model gate.

A sub-head's effect is its gain over its reference action in reward scales. It covers immediate and later reward
(``privacy.engine.moments.continuation_value``), so no rollout is needed. The trained policy is greedy for the posterior mean.
The gate's z comes from posterior samples, over the states in which the policy candidate would intervene. They are sampled as
in Thompson sampling, but to test a policy and not to explore.

One release tests several heads, and most of them have little effect. Their bar over the reference is therefore stricter than
the policy head's, by a Bonferroni correction for their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from core.arrays import Floats
from loops.engine.policies.linear import LinearPolicy, never_choosing, reference_policy
from loops.engine.thresholds import MODEL_BAR_REFERENCE
from privacy.engine.moments.effect_posterior import TargetEffects
from privacy.engine.moments.effects import sub_effects_posterior
from privacy.engine.moments.pooled import Moments
from privacy.engine.moments.release_layout import alternatives_of
from training.engine.trainers.protocol import LearnedSubHead

DRAWS = 400


def sub_bar(heads: int) -> float:
    """Return the z bar of each of ``heads`` sub-heads, for example 1.85 for 3.

    All of them together pass by chance no more often than the policy head alone.
    """
    normal = NormalDist()
    return -normal.inv_cdf(normal.cdf(-MODEL_BAR_REFERENCE) / max(heads, 1))


def learn_sub_head(
    moments: Moments, head: str, states: Floats, rng: np.random.Generator, *, incumbent: LinearPolicy | None = None
) -> LearnedSubHead:
    """Train one sub-head and run its model gate, on model states (n, F) in which the policy head intervenes."""
    layout = moments.layout
    posterior = sub_effects_posterior(moments, head)
    effects = _by_action(moments, head, posterior.mean)
    reference = reference_policy(layout.spec, head)
    declared, without = layout.spec.head(head), moments.sub_without_evidence(head)
    weights = never_choosing(effects, without, declared.reference_index)
    policy = LinearPolicy(layout.linear().phi, weights, 0.0, declared.reference_index)
    gains = _drawn_gains(moments, head, posterior, [policy] if incumbent is None else [policy, incumbent], states, rng)
    return LearnedSubHead(
        head=head,
        policy=policy,
        rival=incumbent or reference,
        effects=effects,
        gain=gains[0],
        gain_incumbent=None if incumbent is None else gains[0] - gains[1],
        bar=sub_bar(len(layout.subs)),
        without_evidence=tuple(declared.actions[k] for k in without),
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
    """Sample each policy's mean gain over the reference (DRAWS,). It is linear in the effects, so mean features suffice."""
    phi, count = moments.layout.linear().phi.phi(states), len(moments.layout.spec.head(head).actions)
    means = []
    for policy in policies:
        chosen = np.eye(count)[policy.actions(states)]
        means.append(chosen.T @ phi / max(len(states), 1))
    sampled = np.stack([_by_action(moments, head, posterior.draw(rng)) for _ in range(DRAWS)])
    return [np.asarray(np.einsum("rkd,kd->r", sampled, mean)) for mean in means]
