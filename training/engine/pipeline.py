"""Train all heads of a loop from released moments and synthetic rows, and run their model gates.

Steps:

1. Train candidates for the policy head in the mean world.
2. Choose one. Without an incumbent it is the candidate with the largest gain. With one it is the best step towards a candidate.
3. Run the model gate in sampled worlds, against the reference and against the incumbent.
4. Train the other heads on the states in which the chosen candidate intervenes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from training.engine.trainers.protocol import Candidate, LearnedSubHead, PolicyTrainer
from training.engine.trainers.registry import CONTEXTUAL_BANDITS, FITTED_Q, head_trainer_named, policy_trainer_named
from training.engine.world.simulated_returns import ROLLOUT_STEPS
from training.engine.world.transitions import Transitions
from training.engine.world.world import World


@dataclass(frozen=True)
class LearnedPolicy:
    """Hold a trained policy with everything that evaluating and serving it needs.

    Rewards are in reward scales. Arrays have the shapes of ``EvaluationCandidate``.
    ``step``: the fraction of the way from the incumbent to the fit at ``training_gamma``.
    ``rival``: the incumbent, or the reference if there is none. ``gate`` compares with the reference, ``gate_incumbent`` with
    the incumbent. ``logging_cost``: what drawing from the logging distribution costs a decision (mean, low, high over worlds),
    None where it is not known, because an action was hardly ever logged.
    ``without_evidence``: actions that were hardly ever logged, so that the policy never chooses them.
    """

    policy: LinearPolicy
    rival: LinearPolicy
    training_gamma: float
    step: float
    reward: Floats
    gate: ModelGate
    gate_incumbent: ModelGate | None
    decisions: float
    rival_value: float
    hinges: bool
    logging_cost: tuple[float, float, float] | None
    without_evidence: tuple[str, ...] = ()
    subs: Mapping[str, LearnedSubHead] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Tell whether the policy clears the bar over the reference and, if there is an incumbent, the bar over it."""
        incumbent = self.gate_incumbent
        return self.gate.z >= MODEL_BAR_REFERENCE and (incumbent is None or incumbent.z >= MODEL_BAR_INCUMBENT)

    def arrays(self) -> dict[str, Any]:
        """Return the arrays that a model version stores, by name."""
        return {
            "weights": self.policy.weights,
            "margin": np.array(self.policy.margin),
            "support": np.array(self.policy.phi.support),
            "reward": self.reward,
        }

    def config(self) -> dict[str, Any]:
        """Return the training configuration that a model version stores."""
        return {
            "training_gamma": self.training_gamma,
            "step": self.step,
            "hinges": self.hinges,
            "margin": self.policy.margin,
            "decisions": self.decisions,
            "rival_value": self.rival_value,
            "gate_steps": ROLLOUT_STEPS,
            "intervention_rate": float(self.gate.intervention_rate.mean()),
            "logging_cost": self.logging_cost and list(self.logging_cost),
            "long_run_in_model": self._long_run(),
            **evidence_note(self.without_evidence),
        }

    def _long_run(self) -> dict[str, float]:
        """Return the model's mean gain a step over the rival in 100 steps, in reward scales, with its uncertainty.

        ``low`` and ``high`` are the .05 and .95 quantiles over sampled worlds. ``decline`` is the share of worlds in which
        the policy does worse than the rival.
        """
        gate = self.gate_incumbent or self.gate
        gain = gate.candidate - gate.rival
        low, high = (float(q) for q in np.quantile(gain, (0.05, 0.95)))
        return {"mean": float(gain.mean()), "low": low, "high": high, "decline": float((gain < 0.0).mean())}

    def candidate(self) -> EvaluationCandidate:
        """Return the input of the charged evaluation: the policy, and every sub-head that passed its own gate."""
        subs = {h: s.candidate() for h, s in self.subs.items() if s.passed}
        rate = float(self.gate.intervention_rate.mean())
        return EvaluationCandidate(self.policy, self.rival, self.reward, subs, intervention_rate=rate)


def evidence_note(actions: Sequence[str]) -> dict[str, Any]:
    """Return the part of a version's configuration that names the actions without evidence, in words."""
    if not actions:
        return {"without_evidence": []}
    verb, them = ("was", "it") if len(actions) == 1 else ("were", "them")
    note = f"{', '.join(actions)} {verb} hardly ever logged, so no policy chooses {them}"
    return {"without_evidence": list(actions), "evidence_note": note}


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
    head_trainer: str = CONTEXTUAL_BANDITS,
    with_subs: bool = True,
    report: ReportProgress = no_progress,
) -> LearnedPolicy:
    """Train the policy head on the pool's rows, with the other heads unless ``with_subs`` is false, and run the model gates.

    Args:
        pool: synthetic rows by column name (``Transitions.rows``).
        seed: fixes every random draw.
        incumbents: deployed learned policies, by head.
        sweeps: most sweeps of fitted Q-iteration.
        gamma: a training discount to try besides the grid.
        trainer, head_trainer: names in ``training.engine.trainers.registry``, for the policy head and for the other heads.
        report: receives the progress.
    Raises: InputError for an unknown trainer, and for rows out of order.
    """
    training, head_training = policy_trainer_named(trainer), head_trainer_named(head_trainer)
    policies = dict(incumbents or {})
    transitions = Transitions.of_rows(pool, spec)
    effects = effects_posterior(moments)
    world = mean_world(moments, baseline, effects)
    rng = np.random.default_rng([seed, 1])
    draw = partial(sample_worlds, moments, baseline, effects, WORLDS, rng)
    grid = training.gammas if gamma is None else tuple(sorted({*training.gammas, gamma}))
    candidates = _reported(
        training.train(spec, world, transitions, seed, gammas=grid, sweeps=sweeps), len(grid), report
    )
    choice = _Choice(training, candidates, transitions.state, policies.get(MAIN_HEAD))
    learned = _through_model_gate(spec, moments, _rewards(world, moments), choice, draw, rng, report)
    report(0.9, "training the other heads")
    best = learned.policy
    intervening = transitions.state[best.actions(transitions.state) != best.reference]
    subs = moments.layout.subs if with_subs else ()
    return replace(
        learned, subs={h: head_training.train(moments, h, intervening, rng, incumbent=policies.get(h)) for h in subs}
    )


@dataclass(frozen=True)
class _Choice:
    """Hold the candidates to choose from, the states (n, F) of the pool, and the incumbent, if there is one."""

    trainer: PolicyTrainer
    candidates: Sequence[Candidate]
    states: Floats
    incumbent: LinearPolicy | None


def _through_model_gate(
    spec: LoopSpec,
    moments: Moments,
    reward: Floats,
    choice: _Choice,
    draw: Callable[[], World],
    rng: np.random.Generator,
    report: ReportProgress,
) -> LearnedPolicy:
    """Choose a candidate and compare it with the reference, and with the incumbent, in sampled worlds.

    Args:
        reward: coefficients (K, d) of the immediate reward in the mean world.
        draw: samples worlds of the posterior. rng: the generator that it draws from.
    """
    report(0.75, f"model gate in {WORLDS} sampled worlds")
    worlds, best = draw(), choice.trainer.choose(choice.candidates)
    reference, incumbent = reference_policy(spec, MAIN_HEAD), choice.incumbent
    if incumbent is not None:  # choose and test in different worlds, so that the test is not biased by the choice
        best = choice.trainer.update(spec, draw(), choice.candidates, incumbent, choice.states, rng)
    rivals = [reference] if incumbent is None else [reference, incumbent]
    gate, gate_incumbent = model_gate(worlds, best.policy, rivals, rng)
    phi, rival = moments.layout.phi, rivals[-1]
    return LearnedPolicy(
        policy=best.policy,
        rival=rival,
        training_gamma=best.gamma,
        step=best.step,
        reward=reward,
        gate=gate,
        gate_incumbent=gate_incumbent,
        decisions=moments.counts.decisions,
        rival_value=_immediate(phi.phi(choice.states), reward, rival.actions(choice.states)),
        hinges=phi.hinges,
        logging_cost=None if moments.without_evidence else logging_cost(worlds, reference, rng),
        without_evidence=tuple(spec.main_head.actions[k] for k in moments.without_evidence),
    )


def train_single_head(
    spec: LoopSpec,
    moments: Moments,
    pool: Mapping[str, np.ndarray],
    head: str,
    *,
    seed: int,
    incumbents: Mapping[str, LinearPolicy],
    head_trainer: str = CONTEXTUAL_BANDITS,
) -> LearnedSubHead:
    """Train one head other than policy alone, and run its model gate.

    Its states are those in which the incumbent policy intervenes; without an incumbent, all of the pool's.
    """
    states, policy = Transitions.of_rows(pool, spec).state, incumbents.get(MAIN_HEAD)
    if policy is not None:
        states = states[policy.actions(states) != policy.reference]
    rng = np.random.default_rng([seed, 1])
    return head_trainer_named(head_trainer).train(moments, head, states, rng, incumbent=incumbents.get(head))


def _rewards(world: World, moments: Moments) -> Floats:
    """Return the coefficients (K, d) of the immediate reward in a world, around the release's centre."""
    reward = world.coefficients[0, :, :, 0].copy()
    reward[:, 0] += moments.counts.centre
    return reward


def _reported(trained: Iterator[Candidate], expected: int, report: ReportProgress) -> list[Candidate]:
    candidates: list[Candidate] = []
    for candidate in trained:
        candidates.append(candidate)
        gain = f"gamma {candidate.gamma:g}: {candidate.model_gain:+.3g} reward scales in the world model"
        report(0.7 * min(len(candidates) / expected, 1.0), gain)
    return candidates


def _immediate(features: Floats, reward: Floats, actions: np.ndarray) -> float:
    return float(np.einsum("nd,nd->n", features, reward[actions]).mean())
