"""From a release and its synthetic rows to a candidate that has been asked how sure we are of it.

The recipe in one place: candidates trained in the mean world, the best of them, then the model gate over drawn worlds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from loops.engine.policy import LinearPolicy, reference_policy
from loops.engine.spec import LoopSpec
from privacy.engine.baseline import Baseline
from privacy.engine.evaluate import Candidate
from privacy.engine.release import Moments
from privacy.engine.rows import Floats
from training.engine.model_gate import BAR_REFERENCE, WORLDS, ModelGate, model_gate
from training.engine.posterior import effects_posterior
from training.engine.rollout import STEPS, policy_values, regression
from training.engine.synthesize import Transitions, drawn_worlds, mean_world
from training.engine.train import Candidate as Trained
from training.engine.train import best_candidate, train

Report = Callable[[float, str], None]
GAMMA = 0.99  # defines the long run that is judged; the training discount is selected


def quiet(fraction: float, message: str) -> None:
    """A report that nobody reads."""


@dataclass(frozen=True)
class Learned:
    """A candidate with all that judging and serving it needs. Rewards in reward scales; arrays as in ``Candidate``."""

    policy: LinearPolicy
    training_gamma: float
    reward: Floats
    continuation: Floats
    value: Floats
    gamma: float
    gate: ModelGate
    bar: float
    decisions: float
    reference_value: float
    hinges: bool

    def arrays(self) -> dict[str, Any]:
        """What a model version stores."""
        return {
            "weights": self.policy.weights,
            "margin": np.array(self.policy.margin),
            "reward": self.reward,
            "continuation": self.continuation,
            "value": self.value,
        }

    def config(self) -> dict[str, Any]:
        """What a model version says about itself."""
        return {
            "training_gamma": self.training_gamma,
            "hinges": self.hinges,
            "gamma": self.gamma,
            "margin": self.policy.margin,
            "decisions": self.decisions,
            "reference_value": self.reference_value,
            "gate_steps": STEPS,
            "intervention_rate": float(self.gate.intervention_rate.mean()),
        }

    def candidate(self, spec: LoopSpec, head: str) -> Candidate:
        """What the charged evaluation judges."""
        return Candidate(
            self.policy, reference_policy(spec, head), self.reward, self.continuation, self.value, self.gamma
        )


def learn(
    spec: LoopSpec,
    moments: Moments,
    baseline: Baseline,
    pool: Mapping[str, np.ndarray],
    *,
    seed: int,
    bar: float = BAR_REFERENCE,
    report: Report = quiet,
) -> Learned:
    """Train on the pool's rows and ask the model gate. ``seed`` fixes every draw; progress goes to ``report``."""
    head, phi = moments.layout.head, moments.layout.phi
    transitions = Transitions.of_rows(pool)
    effects = effects_posterior(moments)
    world = mean_world(moments, baseline, effects)
    candidates: list[Trained] = []
    for made in train(spec, head, world, transitions, seed):
        candidates.append(made)
        report(0.15 * len(candidates), f"gamma {made.gamma:g}: {made.model_gain:+.3g} reward scales in the model")
    best = best_candidate(candidates)
    report(0.8, f"model gate: {WORLDS} drawn worlds")
    rng = np.random.default_rng([seed, 1])
    worlds = drawn_worlds(moments, baseline, effects, WORLDS, rng)
    gate = model_gate(worlds, best.policy, reference_policy(spec, head), rng)
    reward = world.coefficients[0, :, :, 0].copy()
    reward[:, 0] += moments.counts.centre
    reference = reference_policy(spec, head)
    value = policy_values(world, reference, phi, transitions.state, int(rng.integers(2**63)), gamma=GAMMA)
    return Learned(
        policy=best.policy,
        training_gamma=best.gamma,
        reward=reward,
        continuation=_continuation(moments, transitions, value, GAMMA),
        value=value,
        gamma=GAMMA,
        gate=gate,
        bar=bar,
        decisions=moments.counts.decisions,
        reference_value=float(moments.gram[0] @ reward[best.policy.reference]),
        hinges=phi.hinges,
    )


def _continuation(moments: Moments, transitions: Transitions, value: Floats, gamma: float) -> Floats:
    """(K, d): gamma E[stays V_ref(s')] after each action, regressed on phi over the synthetic transitions."""
    phi = moments.layout.phi
    n, k = transitions.reward.shape
    onward = phi.phi(transitions.next_state.reshape(n * k, -1)).reshape(n, k, -1) @ value
    return np.asarray((regression(phi.phi(transitions.state)) @ (gamma * transitions.stays * onward)).T)
