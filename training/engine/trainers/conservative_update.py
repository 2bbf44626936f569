"""From what serves toward what was fitted: a third of the way, or all of it.

A fit errs with its release's noise, and the largest of several estimated gains errs upward (the winner's curse), so a policy that
is replaced whole each round wanders. Averaging the two value functions takes out what they do not share of that error (averaged
Q-learning: Anschel, Baram and Shimkin 2017), and a partial step loses less where the fit is wrong (conservative policy iteration:
Kakade and Langford 2002). Which discount and which step is taken follows from the posterior: the highest lower bound of the gain
over what serves.
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
from training.engine.world.world_model import World

STEP_SHARE = 1.0 / 3.0  # of the way: a later round explores one decision in ten and adds about as little
FULL_STEP_SDS = 2.0  # posterior sds under the mean gain at which steps are compared: about its .025 quantile


def best_update(
    spec: LoopSpec,
    worlds: World,
    candidates: Sequence[Candidate],
    serving: LinearPolicy,
    states: Floats,
    rng: np.random.Generator,
) -> Candidate:
    """The candidate, or the part of the way to one, whose gain over ``serving`` has the highest mean minus two sd over drawn
    worlds.


    ``states`` (n, F) are model states: they scale the two value functions and hold the support cap.
    """
    offered = [*candidates]
    if worlds.moments.layout.phi.hinges >= serving.phi.hinges:  # what serves can be said in the fit's features
        offered += [
            replace(c, policy=interpolate_policies(spec, serving, c.policy, states), step=STEP_SHARE)
            for c in candidates
        ]
    theirs, *ours = (v for v, _ in values_in_worlds(worlds, [serving, *(c.policy for c in offered)], rng))
    bounds = [float((v - theirs).mean() - FULL_STEP_SDS * (v - theirs).std(ddof=1)) for v in ours]
    return offered[int(np.argmax(bounds))]


def interpolate_policies(spec: LoopSpec, serving: LinearPolicy, fitted: LinearPolicy, states: Floats) -> LinearPolicy:
    """Two thirds of one policy's advantages over the reference and a third of the other's, each in units of its sd over states,
    under the support cap.

    Discounts differ between rounds and with them the size of values, so neither counts for more because its numbers are larger.
    """
    phi = fitted.phi
    ours, theirs = (_advantages(p, phi.width, phi.phi(states)) for p in (serving, fitted))
    weights = (1.0 - STEP_SHARE) * ours + STEP_SHARE * theirs
    return capped_policy(spec, MAIN_HEAD, phi, weights, states)


def _advantages(policy: LinearPolicy, width: int, features: Floats) -> Floats:
    """(K, width) weights of the advantages over the reference, margin included, in units of their sd over states (root mean
    square of the alternatives'); columns that the policy lacks are 0.
    """
    weights = np.pad(policy.weights, ((0, 0), (0, width - policy.weights.shape[1])))
    weights[policy.reference, 0] += policy.margin
    weights = weights - weights[policy.reference]
    alternatives = np.delete(weights, policy.reference, axis=0)
    spread = float(np.sqrt((features @ alternatives.T).var(axis=0).mean()))
    return np.asarray(weights / spread if spread > 0 else weights)
