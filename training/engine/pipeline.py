"""From released moments and synthetic rows to candidates that have been asked how sure we are of them.

The recipe in one place: candidates for policy trained in the mean world, the best of them (where something learned serves: the
best step toward one of them), then the model gate over drawn worlds against the reference and against what serves; then the
other heads, in the states in which that candidate speaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from core.arrays import Floats
from core.progress import ReportProgress, no_progress
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import LinearPolicy, reference_policy
from loops.engine.spec import LoopSpec
from loops.engine.thresholds import MODEL_BAR_INCUMBENT, MODEL_BAR_REFERENCE
from privacy.engine.evaluation.statistics import EvaluationCandidate
from privacy.engine.moments.baseline import Baseline
from privacy.engine.moments.effects import effects_posterior
from privacy.engine.moments.pooled import Moments
from training.engine.gates.model_gate import WORLDS, ModelGate, logging_cost, model_gate
from training.engine.generators.world_model import mean_world, sample_worlds
from training.engine.regression import regression
from training.engine.trainers.fitted_q import GAMMAS, best_candidate
from training.engine.trainers.protocol import Candidate, LearnedSubHead
from training.engine.trainers.registry import CONTEXTUAL_BANDITS, FITTED_Q, head_trainer, policy_trainer
from training.engine.world.rollout import ROLLOUT_STEPS, discounted_returns
from training.engine.world.transitions import Transitions
from training.engine.world.world_model import World

TRAINING_GAMMA = 0.99  # defines the long run that is judged; the training discount is selected


@dataclass(frozen=True)
class LearnedPolicy:
    """A candidate with all that judging and serving it needs. Rewards in reward scales; arrays as in ``EvaluationCandidate``.

    ``step``: how much of the way from what serves to the fit at ``training_gamma`` the policy goes. ``rival`` is what serves, or
    the reference; ``gate`` is against the reference, ``gate_incumbent`` against what serves.
    ``logging_cost``: what drawing from the logging distribution costs a decision point, over drawn worlds (mean, low, high).
    """

    policy: LinearPolicy
    rival: LinearPolicy
    training_gamma: float
    step: float
    reward: Floats
    continuation: Floats
    value: Floats
    gamma: float
    gate: ModelGate
    gate_incumbent: ModelGate | None
    decisions: float
    rival_value: float
    hinges: bool
    logging_cost: tuple[float, float, float]
    subs: Mapping[str, LearnedSubHead] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Sure enough against the reference, and not worse than what serves."""
        incumbent = self.gate_incumbent
        return self.gate.z >= MODEL_BAR_REFERENCE and (incumbent is None or incumbent.z >= MODEL_BAR_INCUMBENT)

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
            "step": self.step,
            "hinges": self.hinges,
            "gamma": self.gamma,
            "margin": self.policy.margin,
            "decisions": self.decisions,
            "rival_value": self.rival_value,
            "gate_steps": ROLLOUT_STEPS,
            "intervention_rate": float(self.gate.intervention_rate.mean()),
            "logging_cost": list(self.logging_cost),
        }

    def candidate(self) -> EvaluationCandidate:
        """What the charged evaluation judges: policy, with the sub-heads that their own gates let pass."""
        subs = {h: s.candidate() for h, s in self.subs.items() if s.passed}
        return EvaluationCandidate(
            self.policy, self.rival, self.reward, self.continuation, self.value, self.gamma, subs
        )


def train_policy_head(
    spec: LoopSpec,
    moments: Moments,
    baseline: Baseline,
    pool: Mapping[str, np.ndarray],
    *,
    seed: int,
    incumbents: Mapping[str, LinearPolicy] | None = None,
    sweeps: int | None = None,
    gamma: float | None = None,
    trainer: str = FITTED_Q,
    sub_trainer: str = CONTEXTUAL_BANDITS,
    report: ReportProgress = no_progress,
) -> LearnedPolicy:
    """Train on the pool's rows and ask the model gate. ``incumbents``: learned policies that serve now, by head.

    ``sweeps`` bounds fitted Q-iteration, ``gamma`` is a training discount to try beside the grid; ``seed`` fixes every draw;
    progress goes to ``report``. ``trainer`` (of policy) and ``sub_trainer`` (of the other heads) are names of
    ``training.engine.trainers.registry``. Raises InputError for a name that is not there, and for rows out of order.
    """
    training, sub_training = policy_trainer(trainer), head_trainer(sub_trainer)
    phi, serving = moments.layout.phi, dict(incumbents or {})
    transitions = Transitions.of_rows(pool, spec)
    effects = effects_posterior(moments)
    world = mean_world(moments, baseline, effects)
    grid = GAMMAS if gamma is None else tuple(sorted({*GAMMAS, gamma}))
    made = _reported(training.train(spec, world, transitions, seed, gammas=grid, sweeps=sweeps), len(grid), report)
    reference, incumbent = reference_policy(spec, MAIN_HEAD), serving.get(MAIN_HEAD)
    rng = np.random.default_rng([seed, 1])
    report(0.75, f"model gate: {WORLDS} drawn worlds")
    draw = partial(sample_worlds, moments, baseline, effects, WORLDS, rng)
    worlds, best, rivals = draw(), best_candidate(made), [reference]
    if incumbent is not None:  # what is chosen in some worlds is judged in others
        best, rivals = training.update(spec, draw(), made, incumbent, transitions.state, rng), [reference, incumbent]
    gate, against = model_gate(worlds, best.policy, rivals, rng)
    cost = logging_cost(worlds, reference, rng)
    rival = incumbent or reference
    value = _values(world, rival, transitions.state, int(rng.integers(2**63)))
    reward = world.coefficients[0, :, :, 0].copy()
    reward[:, 0] += moments.counts.centre
    report(0.9, "the other heads")
    speaking = transitions.state[best.policy.actions(transitions.state) != best.policy.reference]
    return LearnedPolicy(
        policy=best.policy,
        rival=rival,
        training_gamma=best.gamma,
        step=best.step,
        reward=reward,
        continuation=_continuation(moments, transitions, value, TRAINING_GAMMA),
        value=value,
        gamma=TRAINING_GAMMA,
        gate=gate,
        gate_incumbent=against,
        decisions=moments.counts.decisions,
        rival_value=_immediate(phi.phi(transitions.state), reward, rival.actions(transitions.state)),
        hinges=phi.hinges,
        logging_cost=cost,
        subs={h: sub_training.train(moments, h, speaking, rng, incumbent=serving.get(h)) for h in moments.layout.subs},
    )


def _reported(made: Iterator[Candidate], expected: int, report: ReportProgress) -> list[Candidate]:
    candidates: list[Candidate] = []
    for candidate in made:
        candidates.append(candidate)
        said = f"gamma {candidate.gamma:g}: {candidate.model_gain:+.3g} reward scales in the model"
        report(0.7 * min(len(candidates) / expected, 1.0), said)
    return candidates


def _values(world: World, policy: LinearPolicy, states: Floats, seed: int) -> Floats:
    """(d,) V(s) = phi(s) . v of following the policy in the world: discounted rewards from each state, regressed on phi.

    Monte Carlo instead of a fixed point: a known feature that ends at its bound (time since an intervention) has no linear
    fixed point, and a bootstrapped value would go on growing along it.
    """
    returns = discounted_returns(world, policy, states, seed, gamma=TRAINING_GAMMA)
    return np.asarray(regression(world.moments.layout.phi.phi(states)) @ returns)


def _immediate(features: Floats, reward: Floats, actions: np.ndarray) -> float:
    return float(np.einsum("nd,nd->n", features, reward[actions]).mean())


def _continuation(moments: Moments, transitions: Transitions, value: Floats, gamma: float) -> Floats:
    """(K, d): gamma E[stays V(s')] after each action, regressed on phi over the synthetic transitions."""
    phi = moments.layout.phi
    n, k = transitions.reward.shape
    onward = phi.phi(transitions.next_state.reshape(n * k, -1)).reshape(n, k, -1) @ value
    return np.asarray((regression(phi.phi(transitions.state)) @ (gamma * transitions.stays * onward)).T)
