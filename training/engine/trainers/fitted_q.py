"""Linear policies from synthetic transitions: fitted Q-iteration over a grid of discounts, the best of which is kept.

Fitted Q-iteration (Ernst, Geurts and Wehenkel 2005): Q(s, a) = phi(s) . w_a, each sweep regressing
r + gamma stays max_b Q(s', b) on phi. No discount is right for every loop: where interventions pay now and harm later a high
one is needed, elsewhere a low one is less noisy. So each discount gives a candidate. While the reference serves, the one with the
largest gain over it in 100 steps of the mean world is taken; afterwards ``training.engine.trainers.conservative_update`` chooses.
Every candidate is under the support cap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from core.arrays import Floats
from loops.engine.features import FeatureMap
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import LinearPolicy, reference_policy
from loops.engine.spec import LoopSpec
from training.engine.regression import regression
from training.engine.trainers.protocol import Candidate
from training.engine.world.comparison import compare
from training.engine.world.transitions import Transitions
from training.engine.world.world_model import World

GAMMAS = (0.0, 0.8, 0.9, 0.95, 0.99)
SWEEPS = 200
TOLERANCE = 1e-3
_JUDGES = 1_000  # simulated people who compare the candidates


def train_candidates(
    spec: LoopSpec,
    world: World,
    pool: Transitions,
    seed: int,
    *,
    gammas: Sequence[float] = GAMMAS,
    sweeps: int | None = None,
) -> Iterator[Candidate]:
    """Yield every candidate as it is made; the caller keeps the best (``best_candidate``)."""
    phi = world.moments.layout.phi

    def fits() -> Iterator[LinearPolicy]:
        yield reference_policy(spec, MAIN_HEAD)
        for gamma in gammas:
            weights = fitted_q(phi, pool, gamma=gamma, sweeps=sweeps or SWEEPS)
            yield capped_policy(spec, MAIN_HEAD, phi, weights, pool.state)

    trials = compare(world, fits(), np.random.default_rng([seed, 2]), people_a_world=_JUDGES)
    base = next(trials).reward.mean()
    for gamma, trial in zip(gammas, trials, strict=True):
        yield Candidate(trial.policy, gamma, float(trial.reward.mean() - base))


def best_candidate(candidates: list[Candidate]) -> Candidate:
    """The largest gain in the mean world."""
    return max(candidates, key=lambda c: c.model_gain)


def fitted_q(phi: FeatureMap, pool: Transitions, *, gamma: float, sweeps: int = SWEEPS) -> Floats:
    """Weights (K, d) after sweeps until no fitted value moves by 1e-3 reward scales, or their bound."""
    n, k = pool.reward.shape
    features = phi.phi(pool.state)
    following = phi.phi(pool.next_state.reshape(n * k, -1))
    solve = regression(features)
    bound = np.abs(pool.reward).max() / (1.0 - gamma)
    weights = np.zeros((k, features.shape[1]))
    for _ in range(sweeps):
        best = np.clip((following @ weights.T).max(axis=1).reshape(n, k), -bound, bound)
        updated = (solve @ (pool.reward + gamma * pool.stays * best)).T
        change = float(np.abs(features @ (updated - weights).T).max())
        weights = updated
        if change < TOLERANCE or gamma == 0.0:
            break
    return weights


def capped_policy(spec: LoopSpec, head: str, phi: FeatureMap, weights: Floats, states: Floats) -> LinearPolicy:
    """The greedy policy with the least margin on the reference under which it intervenes no more often than the log did."""
    declared = spec.head(head)
    values = phi.phi(states) @ weights.T
    others = np.delete(values, declared.reference_index, axis=1).max(axis=1)
    advantage = others - values[:, declared.reference_index]
    margin = max(0.0, float(np.quantile(advantage, declared.logging[declared.reference_index])))
    return LinearPolicy(phi, weights, margin, declared.reference_index)
