"""Linear fitted Q-iteration on synthetic transitions, with the support cap.

Q(s, a) = phi(s) . w_a. Each sweep regresses r + gamma (1 - leaving) max_b Q(s', b) on phi (ridge), Ernst, Geurts and Wehenkel 2005.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from loops.engine.features import FeatureMap
from loops.engine.policy import LinearPolicy
from loops.engine.spec import LoopSpec
from privacy.engine.rows import Floats
from training.engine.synthesize import Transitions

GAMMA = 0.99
SWEEPS = 300
TOLERANCE = 1e-3
_RIDGE = 1e-3


@dataclass(frozen=True)
class Progress:
    """One sweep: largest change of a fitted value, in reward scales."""

    sweep: int
    change: float
    weights: Floats


def fitted_q(phi: FeatureMap, pool: Transitions, *, gamma: float, sweeps: int = SWEEPS) -> Iterator[Progress]:
    """Yield the weights (K, d) after each sweep until values move by less than 1e-3 reward scales, or ``sweeps``."""
    n, k = pool.reward.shape
    features = phi.phi(pool.state)
    following = phi.phi(pool.next_state.reshape(n * k, -1)).reshape(n, k, -1)
    gram = features.T @ features + _RIDGE * n * np.eye(features.shape[1])
    solve = np.linalg.solve(gram, features.T)
    bound = np.abs(pool.reward).max() / (1.0 - gamma)
    weights = np.zeros((k, features.shape[1]))
    for sweep in range(sweeps):
        best = np.clip((following @ weights.T).max(axis=2), -bound, bound)
        updated = (solve @ (pool.reward + gamma * pool.stays * best)).T
        change = float(np.abs(features @ (updated - weights).T).max())
        weights = updated
        yield Progress(sweep, change, weights)
        if change < TOLERANCE:
            return


def reference_values(phi: FeatureMap, pool: Transitions, reference: int, *, gamma: float) -> Floats:
    """(d,) V of always taking the reference action, by linear fitted evaluation: V(s) = phi(s) . v, in reward scales."""
    features, following = phi.phi(pool.state), phi.phi(pool.next_state[:, reference])
    gram = features.T @ features + _RIDGE * len(features) * np.eye(features.shape[1])
    solve = np.linalg.solve(gram, features.T)
    bound = np.abs(pool.reward).max() / (1.0 - gamma)
    values = np.zeros(features.shape[1])
    for _ in range(SWEEPS):
        target = pool.reward[:, reference] + gamma * pool.stays[:, reference] * np.clip(following @ values, -bound, bound)
        values = solve @ target
    return np.asarray(values)


def support_margin(spec: LoopSpec, head: str, phi: FeatureMap, weights: Floats, states: Floats) -> float:
    """The least margin on the reference with which the policy intervenes no more often than the log did."""
    declared = spec.head(head)
    values = phi.phi(states) @ weights.T
    others = np.delete(values, declared.reference_index, axis=1).max(axis=1)
    advantage = others - values[:, declared.reference_index]
    return max(0.0, float(np.quantile(advantage, declared.logging[declared.reference_index])))


def capped_policy(spec: LoopSpec, head: str, phi: FeatureMap, weights: Floats, states: Floats) -> LinearPolicy:
    """The greedy policy of these weights under the support cap."""
    margin = support_margin(spec, head, phi, weights, states)
    return LinearPolicy(phi, weights, margin, spec.head(head).reference_index)
