"""Audit a release and what is made from it: draw both databases of a shadow many times, and prove a lower bound on epsilon.

The bound stands beside the claimed epsilon. Above it, the claim is false. Far below it, the audit is weak or the noise is larger
than declared. No bound proves that a claim is true.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from core.errors import InputError
from core.progress import ReportProgress, no_progress
from privacy.engine.dp.accounting import Calibration, epsilon_of_gdp
from privacy.engine.moments.pooled import Moments
from training.engine.audit.canary import Shadow
from training.engine.audit.draws import Draw, draw_release
from training.engine.audit.proof import Proof, prove
from training.engine.generators.protocol import Posterior, TransitionSource
from training.engine.pipeline import train_policy_head

AUDIT_STAGES = ("release", "generator", "policy")
RUNS = 5_000  # releases of each database; at epsilon 1 they prove a bit more than half of it
LATER_RUNS = {"generator": 500, "policy": 40}
CONFIDENCE = 0.99
FEWEST_RUNS, MOST_RUNS = 40, 1_000_000
_STATES = 500  # synthetic states a run
_LONGEST = 100_000


@dataclass(frozen=True)
class StageAudit:
    """Hold what was proven at one stage: the bound as mu and as epsilon at the claim's delta."""

    stage: str
    proof: Proof
    epsilon: float


@dataclass(frozen=True)
class ReleaseAudit:
    """Hold the audit: the claim, the largest mu that the canary could reach, and each stage's bound.

    ``confidence``: the probability that one stage's bound is not above the true epsilon.
    """

    claimed_epsilon: float
    claimed_mu: float
    delta: float
    reached_mu: float
    confidence: float
    stages: tuple[StageAudit, ...]

    @property
    def refuted(self) -> tuple[str, ...]:
        """Return the stages whose bound lies above the claim. Any of them proves the claim false."""
        return tuple(s.stage for s in self.stages if s.proof.mu > self.claimed_mu)

    @property
    def share(self) -> float:
        """Return the largest proven epsilon as a share of the claimed one."""
        return max(s.epsilon for s in self.stages) / self.claimed_epsilon


def audit_release(
    shadow: Shadow,
    calibration: Calibration,
    generator: TransitionSource,
    *,
    runs: int = RUNS,
    through: str = "policy",
    seed: int = 0,
    confidence: float = CONFIDENCE,
    report: ReportProgress = no_progress,
) -> ReleaseAudit:
    """Audit the release, and what the generator and the trainer make of it.

    Args:
        calibration: the noise and the claim, as a turn of this loop would have them.
        runs: releases of each database. Later stages cost more, so they run on the first of them.
        through: the last stage to audit. seed: of generator and trainer. The noise of a release cannot be seeded.
        report: receives the progress, and may raise to cancel.
    Raises: InputError for runs, a stage or a confidence out of range.
    """
    _check(runs, through, confidence)
    last = AUDIT_STAGES.index(through)
    looks: dict[str, tuple[list[Floats], list[Floats]]] = {stage: ([], []) for stage in AUDIT_STAGES[: last + 1]}
    reached = list[float]()
    for run in range(runs):
        if run % 20 == 0:
            report(run / runs, f"run {run} of {runs}")
        for side, within in enumerate((False, True)):
            made = draw_release(shadow, calibration.sigma, within=within)
            looks["release"][side].append(made.looks)
            if within:
                reached.append(made.reached)
            later = _later_looks(shadow, made, generator, run, last, seed=int(2 * run + side + seed * 7919))
            for stage, seen in later:
                looks[stage][side].append(seen)
    return _summary(looks, float(np.mean(reached)), calibration, confidence)


def _later_looks(
    shadow: Shadow, made: Draw, generator: TransitionSource, run: int, last: int, *, seed: int
) -> list[tuple[str, Floats]]:
    """Return looks at what is made from a release, where this run goes on to the later stages."""
    if last < 1 or run >= LATER_RUNS["generator"]:
        return []
    moments = made.moments()
    posterior = Posterior.of(moments)
    chunks = list(generator.chunks(posterior, states=_STATES, seed=seed, longest=_LONGEST))
    pool = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    out = [("generator", _generator_looks(shadow, moments, pool))]
    if last >= 2 and run < LATER_RUNS["policy"]:
        learned = train_policy_head(shadow.spec, moments, posterior.baseline, pool, seed=seed, with_subs=False)
        values = learned.policy.values(shadow.state)[0]
        out.append(("policy", np.r_[values - values[shadow.spec.main_head.reference_index], learned.gate.z]))
    return out


def _generator_looks(shadow: Shadow, moments: Moments, pool: dict[str, np.ndarray]) -> Floats:
    """Return what the rows say about the canary's state: reward and next state of its action and of the reference."""
    phi, learned = moments.layout.phi, list(moments.layout.learned)
    out = list[Floats]()
    for action in (int(shadow.canary.action[0]), shadow.spec.main_head.reference_index):
        rows = pool["action"] == action
        targets = np.column_stack([pool["reward"][rows], pool["next_state"][rows][:, learned]])
        fit, *_ = np.linalg.lstsq(phi.phi(pool["state"][rows]), targets, rcond=None)
        out.append(phi.phi(shadow.state)[0] @ fit)
    return np.concatenate(out)


def _summary(
    looks: dict[str, tuple[list[Floats], list[Floats]]], reached: float, claim: Calibration, confidence: float
) -> ReleaseAudit:
    stages = []
    for stage, sides in looks.items():
        without, within = (np.array(side) for side in sides)
        proof = prove(without, within, false_alarm=1 - confidence, matched=stage == "release")
        stages.append(StageAudit(stage, proof, epsilon_of_gdp(proof.mu, claim.delta)))
    return ReleaseAudit(claim.epsilon, claim.mu, claim.delta, reached, confidence, tuple(stages))


def _check(runs: int, through: str, confidence: float) -> None:
    if not FEWEST_RUNS <= runs <= MOST_RUNS:
        raise InputError(f"{runs} runs are not possible; use {FEWEST_RUNS} to {MOST_RUNS:,}")
    if through not in AUDIT_STAGES:
        raise InputError(f"there is no stage {through!r}; choose one of: {', '.join(AUDIT_STAGES)}")
    if not 0.5 <= confidence < 1.0:
        raise InputError(f"a confidence of {confidence:g} is not possible; use at least .5 and less than 1")
