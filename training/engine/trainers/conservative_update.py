"""Move the incumbent towards a new fit: a third of the way, or all of it.

A fit carries its release's noise. The largest of several estimated gains is also biased upward (the winner's curse). A policy
that is fully replaced each round therefore drifts at random. Averaging the two value functions removes the errors that they do
not share, and a partial step loses less where the fit is wrong. The posterior selects both the discount and the step: the
choice has the highest lower bound of its gain over the incumbent.

Sources: Anschel, Baram and Shimkin (2017), averaged Q-learning; Kakade and Langford (2002), conservative policy iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.arrays import Floats
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import LoopSpec
from training.engine.gates.model_gate import values_in_worlds
from training.engine.trainers.fitted_q import capped_policy
from training.engine.trainers.protocol import Candidate
from training.engine.world.world import World

STEP_SHARE = 1.0 / 3.0  # of the way: later rounds explore one decision in ten, so each adds little information
FULL_STEP_SDS = 2.0  # steps are compared at this many posterior sds below their mean gain, about the .025 quantile


def best_update(
    spec: LoopSpec,
    worlds: World,
    candidates: Sequence[Candidate],
    incumbent: LinearPolicy,
    states: Floats,
    rng: np.random.Generator,
) -> Candidate:
    """Choose the candidate, or the partial step towards one, with the highest lower bound of its gain over ``incumbent``.

    The lower bound is the mean minus two standard deviations of the gain over sampled worlds.

    Args:
        states: (n, F) model states, which scale the two value functions and set the support cap.
    """
    offered, without = [*candidates], worlds.moments.without_evidence
    phi = worlds.moments.layout.phi
    # The incumbent can be expressed in the features of the fit.
    if phi.hinges >= incumbent.phi.hinges and phi.support == incumbent.phi.support:
        offered += [
            replace(c, policy=interpolate_policies(spec, incumbent, c.policy, states, without), step=STEP_SHARE)
            for c in candidates
        ]
    incumbent_values, *offered_values = (
        v for v, _ in values_in_worlds(worlds, [incumbent, *(c.policy for c in offered)], rng)
    )
    gains = [values - incumbent_values for values in offered_values]
    bounds = [float(gain.mean() - FULL_STEP_SDS * gain.std(ddof=1)) for gain in gains]
    return offered[int(np.argmax(bounds))]


def interpolate_policies(
    spec: LoopSpec, incumbent: LinearPolicy, fitted: LinearPolicy, states: Floats, without: Sequence[int] = ()
) -> LinearPolicy:
    """Combine two thirds of the incumbent's advantages over the reference with one third of the fit's, under the support cap.

    Each is in units of its standard deviation over states (n, F). Discounts differ between rounds and scale the values, so
    without these units the policy with the larger numbers would dominate. The result never chooses the actions ``without``.
    """
    phi = fitted.phi
    old, new = (_advantages(p, phi.width, phi.phi(states)) for p in (incumbent, fitted))
    weights = (1.0 - STEP_SHARE) * old + STEP_SHARE * new
    return capped_policy(spec, MAIN_HEAD, phi, weights, states, without)


def _advantages(policy: LinearPolicy, width: int, features: Floats) -> Floats:
    """Return weights (K, width) of the advantages over the reference, margin included.

    The unit is their standard deviation over states (root mean square over the alternatives).
    Columns that the policy lacks are 0.
    """
    weights = np.pad(policy.weights, ((0, 0), (0, width - policy.weights.shape[1])))
    weights[policy.reference, 0] += policy.margin
    weights = weights - weights[policy.reference]
    alternatives = np.delete(weights, policy.reference, axis=0)
    spread = float(np.sqrt((features @ alternatives.T).var(axis=0).mean()))
    return np.asarray(weights / spread if spread > 0 else weights)
