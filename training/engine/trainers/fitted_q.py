"""Train linear policies from synthetic transitions by fitted Q-iteration, one for each discount of a grid.

Q(s, a) = phi(s) . w_a. Each sweep regresses r + gamma stays max_b Q(s', b) on phi. No discount suits every loop: where
interventions help now and harm later, a high one is needed, and elsewhere a low one is less noisy. Each discount therefore
gives a candidate, under the support cap. Without an incumbent, the candidate with the largest gain over the reference in 100
steps of the mean world is chosen. With one, ``training.engine.trainers.conservative_update`` chooses.

Source: Ernst, Geurts and Wehenkel (2005), fitted Q-iteration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from core.arrays import Floats
from loops.engine.features import FeatureMap
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import LinearPolicy, never_choosing, reference_policy
from loops.engine.spec import LoopSpec
from training.engine.ridge_regression import regression
from training.engine.trainers.protocol import Candidate
from training.engine.world.policy_comparison import compare
from training.engine.world.transitions import Transitions
from training.engine.world.world import World

GAMMAS = (0.0, 0.8, 0.9, 0.95, 0.99)
SWEEPS = 200
TOLERANCE = 1e-3
_SIMULATED_PEOPLE = 1_000  # in the comparison of candidates


def train_candidates(
    spec: LoopSpec,
    world: World,
    pool: Transitions,
    seed: int,
    *,
    gammas: Sequence[float] = GAMMAS,
    sweeps: int | None = None,
) -> Iterator[Candidate]:
    """Train one candidate for each discount, and yield each as soon as it is trained.

    Args:
        seed: fixes the simulated people who compare the candidates.
        gammas: the discounts.
        sweeps: most sweeps for each discount, 200 by default.
    """
    phi, without = world.moments.layout.phi, world.moments.without_evidence

    def fits() -> Iterator[LinearPolicy]:
        yield reference_policy(spec, MAIN_HEAD)
        for gamma in gammas:
            weights = fitted_q(phi, pool, gamma=gamma, sweeps=sweeps or SWEEPS, without=without)
            yield capped_policy(spec, MAIN_HEAD, phi, weights, pool.state, without)

    trials = compare(world, fits(), np.random.default_rng([seed, 2]), people_a_world=_SIMULATED_PEOPLE)
    base = next(trials).reward.mean()
    for gamma, trial in zip(gammas, trials, strict=True):
        yield Candidate(trial.policy, gamma, float(trial.reward.mean() - base))


def best_candidate(candidates: Sequence[Candidate]) -> Candidate:
    """Return the candidate with the largest gain in the mean world."""
    return max(candidates, key=lambda c: c.model_gain)


def fitted_q(
    phi: FeatureMap, pool: Transitions, *, gamma: float, sweeps: int = SWEEPS, without: Sequence[int] = ()
) -> Floats:
    """Fit weights (K, d) by fitted Q-iteration over policies that never choose the actions ``without``.

    Sweeps end when no fitted value moves by 1e-3 reward scales, or after ``sweeps``.
    """
    n, k = pool.reward.shape
    features = phi.phi(pool.state)
    following = phi.phi(pool.next_state.reshape(n * k, -1))
    solve = regression(features)
    bound = np.abs(pool.reward).max() / (1.0 - gamma)
    weights, offered = np.zeros((k, features.shape[1])), [a for a in range(k) if a not in without]
    for _ in range(sweeps):
        best = np.clip((following @ weights[offered].T).max(axis=1).reshape(n, k), -bound, bound)
        updated = (solve @ (pool.reward + gamma * pool.stays * best)).T
        change = float(np.abs(features @ (updated - weights).T).max())
        weights = updated
        if change < TOLERANCE or gamma == 0.0:
            break
    return weights


def capped_policy(
    spec: LoopSpec, head: str, phi: FeatureMap, weights: Floats, states: Floats, without: Sequence[int] = ()
) -> LinearPolicy:
    """Return the greedy policy under the support cap. It never chooses the actions ``without``.

    Its margin on the reference is the smallest with which it intervenes no more often than the logging distribution.
    """
    declared = spec.head(head)
    weights = never_choosing(weights, without, declared.reference_index)
    values = phi.phi(states) @ weights.T
    alternatives = np.delete(values, declared.reference_index, axis=1).max(axis=1)
    advantage = alternatives - values[:, declared.reference_index]
    margin = max(0.0, float(np.quantile(advantage, declared.logging[declared.reference_index])))
    return LinearPolicy(phi, weights, margin, declared.reference_index)
