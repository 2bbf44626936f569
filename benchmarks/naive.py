"""Implement the blueprint's loop literally: noise on every field of every record, then fitted Q-iteration on the noisy records.

Each record's epsilon is split over its fields (Laplace noise for numbers, randomised response for the action). A person with 60
records spends 60 times that epsilon, so the user-level epsilon is about 60 where the platform's is 1.
"""

from __future__ import annotations

import numpy as np

from core.arrays import Floats
from loops.engine.features import FeatureMap
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import LoopSpec
from privacy.engine.moments.rows import ReleaseRows

_SWEEPS, _GAMMA = 60, 0.9


def naive_policy(spec: LoopSpec, rows: ReleaseRows, epsilon: float, rng: np.random.Generator) -> LinearPolicy:
    """Train a greedy linear policy on locally noised records."""
    head = spec.main_head
    share = epsilon / (2 * len(spec.features) + 2)
    state, following = _noised(spec, rows.state, share, rng), _noised(spec, rows.next_state, share, rng)
    reward = rows.reward / spec.reward.scale + rng.laplace(0, 8.0 / share, len(rows.reward))
    keep = rng.random(len(rows.action)) < np.exp(share) / (np.exp(share) + len(head.actions) - 1)
    action = np.where(keep, rows.action, rng.integers(len(head.actions), size=len(keep)))
    phi = FeatureMap.of(spec, False)
    features, onward = phi.phi(state), phi.phi(following)
    weights = np.zeros((len(head.actions), phi.width))
    for _ in range(_SWEEPS):
        target = reward + _GAMMA * rows.has_next * (onward @ weights.T).max(axis=1)
        for k in range(len(weights)):
            x = features[action == k]
            weights[k] = np.linalg.solve(x.T @ x + 1e-3 * np.eye(phi.width), x.T @ target[action == k])
    return LinearPolicy(phi, weights, 0.0, head.reference_index)


def _noised(spec: LoopSpec, states: Floats, epsilon: float, rng: np.random.Generator) -> Floats:
    out = states.copy()
    for i, feature in enumerate(spec.features):
        if feature.is_category:
            count = len(feature.categories)
            keep = rng.random(len(out)) < np.exp(epsilon) / (np.exp(epsilon) + count - 1)
            out[:, i] = np.where(keep, out[:, i], rng.integers(count, size=len(out)))
        else:
            low, high = feature.range
            out[:, i] = out[:, i] + rng.laplace(0, (high - low) / epsilon, len(out))
    return out
