"""Live one loop in a world, month after month, by the product's own engine functions, in memory and without a database.

A month: people live under what serves, a release is made of their decisions, a candidate is trained and judged, and it is
deployed, put on trial or kept back. Everybody trains and judges, each release with its part of the month's budget. Gains are true
gains: fresh people live under a policy in the world itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.worlds.month import Month
from benchmarks.worlds.population import NOBODY_SERVED, Arms, Population
from benchmarks.worlds.protocol import World
from benchmarks.worlds.registry import FAMILIES, world_named
from benchmarks.worlds.search import best_policy
from benchmarks.worlds.truth import truth_of
from core.arrays import Bools, Floats, Ints
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import LoopSpec
from loops.engine.thresholds import MODEL_BAR_INCUMBENT, MODEL_BAR_REFERENCE
from privacy.engine.dp.accounting import gaussian_mu
from privacy.engine.evaluation.arm_differences import LATE_SHARE
from privacy.engine.evaluation.clips import evaluation_clips
from privacy.engine.evaluation.on_policy import TrialRows, guardrail_clips, release_trial
from privacy.engine.evaluation.release import release_evaluation
from privacy.engine.moments.baseline import baseline_posterior
from privacy.engine.moments.clipping import nominal_decisions
from privacy.engine.moments.effects import effects_posterior, known_effects
from privacy.engine.moments.null_population import LoggingPolicy
from privacy.engine.moments.pooled import Moments, pool
from privacy.engine.moments.rounds import (
    count_totals,
    fit_in_memory,
    plan_release,
    read_counts,
    read_moments,
    release_counts,
)
from privacy.engine.moments.rows import ReleaseRows
from privacy.engine.turn_shares import judging_share, training_share
from r3al_project.turns.limits import UNREQUESTED_STATES
from tests.factories.in_memory_release import later_rounds
from training.engine.gates.gate_terms import GateTerms
from training.engine.gates.judgements import GateResult
from training.engine.gates.optimism import optimism_allowance
from training.engine.gates.outcome_gate import outcome_gate
from training.engine.gates.trial import LEAST_Z, TRIAL_LOOKS, trial_first, trial_verdict, trial_wanted
from training.engine.generators.world_model import mean_world, synthesize
from training.engine.pipeline import LearnedPolicy, train_policy_head

EPSILON, DELTA, DAYS = 1.0, 1e-5, 30


@dataclass
class Learner:
    """Make a release of each month's rows, pool it with the earlier ones, and train a candidate."""

    spec: LoopSpec
    sigma: float
    subs: tuple[str, ...] | None = None  # sub-heads to release, None for all of the loop's
    pooled: Moments | None = None
    known: Any = None
    users: float = 0.0

    def learn(self, rows: ReleaseRows, explored_share: float, serving: LinearPolicy | None, seed: int) -> LearnedPolicy:
        """Release, pool, draw synthetic rows, train, and run the model gates."""
        earlier = self.pooled
        totals = release_counts(self.spec, count_totals(self.spec, rows), self.sigma, self.subs)
        counts = read_counts(self.spec, totals, earlier)
        plan = plan_release(
            self.spec, counts, self.sigma,
            explored_share=explored_share, subs=self.subs, earlier=earlier, known=self.known,
        )  # fmt: skip
        fresh = read_moments(plan, *later_rounds(plan, rows, earlier), earlier)
        self.pooled = fresh if earlier is None else pool([earlier, fresh])
        moments = fit_in_memory(self.pooled, plan.facts)
        posterior, effects = baseline_posterior(moments), effects_posterior(moments)
        self.known, self.users = known_effects(moments, effects), counts.users
        world = mean_world(moments, posterior, effects)
        synthetic = synthesize(world, np.random.default_rng(seed), states=UNREQUESTED_STATES).rows()
        incumbents = {} if serving is None else {MAIN_HEAD: serving}
        return train_policy_head(self.spec, moments, posterior, synthetic, seed=seed, incumbents=incumbents)


@dataclass(frozen=True)
class Trial:
    """Hold a trial in progress: its candidate, its public terms, each person's arm (U,), and the months that it has lasted.

    past: each person's mean reward before the trial, and the number of those decisions, (U,) each. earlier: the sums of the
    evaluation that led to it, None without one.
    """

    candidate: LinearPolicy
    intervention_rate: float
    centre: float
    decisions: float
    arm: Ints
    past: tuple[Floats, Ints]
    earlier: Mapping[str, np.ndarray] | None
    logs: tuple[Month, ...] = ()


@dataclass
class Life:
    """Live one loop in a world. ``serving`` None is the reference, ``attempts`` are the candidates judged so far."""

    world: World
    people: int
    seed: int
    serving: LinearPolicy | None = None
    trial: Trial | None = None
    attempts: int = 0
    months: int = 0
    undecided: int = 0
    conceded: float = 0.0
    exploration: float = 1.0
    learned: LearnedPolicy | None = None
    knows_truth: bool = True  # whether a month's row tells the true gains
    unread: tuple[Month, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw the people."""
        self.rng = np.random.default_rng([self.seed, self.people])
        self.population = Population(self.world, self.people, self.rng)
        self.sigma, _ = turn_sigmas(self.world.spec)
        self.learner = Learner(self.world.spec, self.sigma)
        self.exploration = self.world.spec.exploration_before

    def month(self) -> dict[str, Any]:
        """Live one month, and return what happened."""
        self.months += 1
        exploration, trial = self.exploration, self.trial
        with self._timed("live"):
            log = self.population.live(DAYS, self._arms(), exploration, trial.arm if trial else None)
        self.unread = (*self.unread, log)
        with self._timed("learn"):
            learned = self.learned if trial and self.learned else self._learn(exploration)
        with self._timed("judge"):
            outcome = self._read_trial(trial, log) if trial else self._judge(learned, log, exploration)
        self._settle(outcome, learned, log)
        return outcome.as_dict() | self._gains(learned) | {
            "world": self.world.name, "people": self.people, "seed": self.seed, "month": self.months,
            "exploration": exploration, "lived": log.lived() / self.world.spec.reward.scale, "z": learned.gate.z,
            "z_incumbent": learned.gate_incumbent and learned.gate_incumbent.z, "hinges": learned.hinges,
            "serves": self.serving is not None,
        }  # fmt: skip

    def _gains(self, learned: LearnedPolicy) -> dict[str, float]:
        if not self.knows_truth:
            return {}
        with self._timed("truth"):
            return {"gain": gain_of(self.world, self.serving), "candidate_gain": gain_of(self.world, learned.policy)}

    def _learn(self, exploration: float) -> LearnedPolicy:
        """Release everything that no release has read, and train. A month that reads a trial spends its budget on that alone."""
        rows = together(self.unread).training(self._trainers())
        self.learned, self.unread = (
            self.learner.learn(rows, exploration, self.serving, self.seed * 100 + self.months), ()
        )  # fmt: skip
        return self.learned

    def _arms(self) -> Arms:
        served: Arms = NOBODY_SERVED if self.serving is None else (self.serving,)
        return served if self.trial is None else (*served, self.trial.candidate)

    def _trainers(self) -> Bools:
        """Return who trains: everybody, unless the loop holds people out."""
        return np.asarray(np.arange(self.people) >= round(self.people * self.world.spec.evaluation_share))

    def _judges(self) -> Bools:
        held_out = round(self.people * self.world.spec.evaluation_share)
        return np.asarray(np.arange(self.people) < (held_out or self.people))

    def _judge(self, learned: LearnedPolicy, log: Month, exploration: float) -> Outcome:
        """Judge a candidate that its model gates do not rule out. One that the evidence leaves open goes on trial."""
        gates = model_gates(learned)
        if min(z for z, _ in gates) < LEAST_Z:
            return Outcome("keep", None)
        self.attempts += 1
        logged = LoggingPolicy(exploration, self.serving)
        result, sums = judge(learned, log, self._judges(), self._terms(learned), logged)
        if result.verdict == "pass" and learned.passed:
            first = trial_first(self.world.spec, incumbent=self.serving is not None)
            return Outcome("try" if first else "deploy", result, sums)
        left_open = replace(result, verdict="insufficient") if result.verdict == "pass" else result
        return Outcome("try" if trial_wanted(gates, left_open, sums) else "keep", result, sums)

    def _terms(self, learned: LearnedPolicy) -> GateTerms:
        spec = self.world.spec
        allowance = (0.0, 0.0) if spec.evaluation_share else optimism_allowance(
            spec, people=self.learner.users, decisions=learned.decisions, sigma=self.sigma
        )  # fmt: skip
        return GateTerms(
            spec, learned.rival_value, self.attempts,
            incumbent=self.serving is not None, conceded=self.conceded, allowance=allowance,
        )  # fmt: skip

    def _read_trial(self, trial: Trial, log: Month) -> Outcome:
        """Read a trial since its beginning. It goes on while it is undecided and has looks left."""
        spec, logs = self.world.spec, (*trial.logs, log)
        self.trial = replace(trial, logs=logs)
        clips = guardrail_clips(
            spec, intervention_rate=trial.intervention_rate, exploration=self.exploration, decisions=trial.decisions
        )
        sums = release_trial(
            spec,
            trial_rows(logs, trial.past, spec.decisions_per_day),
            centre=trial.centre,
            decisions=trial.decisions,
            clips=clips,
            sigma=1.0 / gaussian_mu(EPSILON, DELTA),
        )
        result = trial_verdict(spec, sums, len(logs), trial.earlier)
        if result.verdict == "pass":
            return Outcome("promote", result)
        return Outcome("stop" if result.verdict == "fail" or len(logs) >= TRIAL_LOOKS else "go on", result)

    def _settle(self, outcome: Outcome, learned: LearnedPolicy, log: Month) -> None:
        """Do what the outcome says, and lower the explored share where there is a cause."""
        if outcome.step == "deploy":
            self._concede(outcome)
            self.serving = learned.policy
        elif outcome.step == "promote" and self.trial is not None:
            self.serving, self.conceded = self.trial.candidate, 0.0
        if outcome.step == "try":
            rate = float(learned.gate.intervention_rate.mean())
            arm = self.rng.permutation(self.people) % 2
            self.trial = Trial(
                learned.policy, rate, learned.rival_value, learned.decisions, arm, past_of(log), outcome.sums
            )
        elif outcome.step != "go on":
            self.trial = None
        self.undecided += outcome.step not in ("deploy", "promote")
        costs = learned.logging_cost is not None and learned.logging_cost[1] > 0
        over = self.undecided >= self.world.spec.logging_rounds
        if self.serving is not None or self.trial is not None or costs or over:
            self.exploration = min(self.exploration, self.world.spec.exploration)

    def _concede(self, outcome: Outcome) -> None:
        """Add what a deployment over an incumbent may have lost, until the next proven improvement."""
        judgements = outcome.result.judgements if outcome.result else ()
        low = min((j.low for j in judgements if j.name == "improvement"), default=0.0) / self.world.spec.reward.scale
        self.conceded = 0.0 if low > 0 else self.conceded - low

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.process_time() - began


@dataclass(frozen=True)
class Outcome:
    """Hold what a month led to: deploy, try, keep, or, in a trial, promote, stop, go on. ``result`` None: no gate was run.

    sums: what an evaluation read.
    """

    step: str
    result: GateResult | None
    sums: Mapping[str, np.ndarray] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the step, the verdict and the metrics that did not pass."""
        judgements = self.result.judgements if self.result else ()
        return {
            "step": self.step, "verdict": self.result.verdict if self.result else "model gate",
            "open": [j.name for j in judgements if j.verdict != "pass"],
            "improvement": next(([j.value, j.low, j.high] for j in judgements if j.name == "improvement"), None),
        }  # fmt: skip


def turn_sigmas(spec: LoopSpec) -> tuple[float, float]:
    """Return the noise multipliers of a month's releases, for training and for judging, which share its budget."""
    sigma = 1.0 / gaussian_mu(EPSILON, DELTA)
    return sigma / math.sqrt(training_share(spec)), sigma / math.sqrt(judging_share(spec))


def judge(
    learned: LearnedPolicy, log: Month, people: Bools, terms: GateTerms, logged: LoggingPolicy
) -> tuple[GateResult, Mapping[str, np.ndarray]]:  # fmt: skip
    """Evaluate a candidate on a month's people, and run the outcome gate. Returns its result and the sums it read."""
    spec, candidate = terms.spec, learned.candidate()
    clips = evaluation_clips(spec, candidate, nominal_decisions(spec, learned.decisions), logged)
    _, sigma = turn_sigmas(spec)
    sums = release_evaluation(spec, log.evaluation(people), candidate, clips, sigma)
    return outcome_gate(terms, sums), sums


def model_gates(learned: LearnedPolicy) -> Sequence[tuple[float, float]]:
    """Return z and bar of each model gate."""
    gates = [(learned.gate.z, MODEL_BAR_REFERENCE)]
    if learned.gate_incumbent is not None:
        gates.append((learned.gate_incumbent.z, MODEL_BAR_INCUMBENT))
    return gates


def past_of(log: Month) -> tuple[Floats, Ints]:
    """Return each person's mean reward and number of decisions in a month, (U,). Nothing of those who left: others came."""
    stays = log.stays[:, -1]
    count = log.decided.sum(axis=1) * stays
    return np.where(log.decided, log.reward, 0.0).sum(axis=1) * stays / np.maximum(count, 1), count


def together(logs: Sequence[Month]) -> Month:
    """Return several months of the same people as one log, with the last month's arms."""
    if len(logs) == 1:
        return logs[0]
    columns = {
        f.name: np.concatenate([getattr(log, f.name) for log in logs], axis=1) for f in fields(Month) if f.name != "arm"
    }
    return Month(arm=logs[-1].arm, **columns)


def trial_rows(logs: Sequence[Month], past: tuple[Floats, Ints], a_day: int) -> TrialRows:
    """Return the rows that a trial reads, of all its months, in the order of people. The candidate is arm 1.

    Args: past: mean reward and number of the decisions before the trial, (U,) each. a_day: decision points.
    """
    decided = np.concatenate([log.decided for log in logs], axis=1)

    def of(name: str) -> np.ndarray:
        return np.asarray(np.concatenate([getattr(log, name) for log in logs], axis=1)[decided])

    present = decided.any(axis=1)
    return TrialRows(
        person=np.repeat(np.cumsum(present) - 1, decided.sum(axis=1)),
        candidate=logs[0].arm[present] == 1,
        missed=missed_at_the_end(logs, a_day)[present],
        unreported=_unreported(of("reward"), decided)[present],
        before=past[0][present],
        before_count=past[1][present],
        reward=of("reward"),
        intervened=of("action") != 0,
        empathy=of("empathy"),
        harmful=of("harmful"),
    )


def _unreported(reward: Floats, decided: Bools) -> Floats:
    """Return the share (U,) of each person's decisions without a reward."""
    missing = np.zeros(decided.shape)
    missing[decided] = np.isnan(reward)
    return np.asarray(missing.sum(axis=1) / np.maximum(decided.sum(axis=1), 1))


def missed_at_the_end(logs: Sequence[Month], a_day: int) -> Floats:
    """Return the share (U,) of the days without a decision in the last quarter. A new person in somebody's place is not they."""
    present = np.concatenate([log.present for log in logs], axis=1)
    days = np.asarray(present.reshape(len(present), -1, a_day).any(axis=2))
    late = days[:, int((1.0 - LATE_SHARE) * days.shape[1]) :]
    replaced = np.any([np.zeros(len(present), bool), *(~log.stays[:, -1] for log in logs[:-1])], axis=0)
    return np.where(replaced, 1.0, 1.0 - late.mean(axis=1))


def gain_of(world: World, policy: LinearPolicy | None) -> float:
    """Return a policy's true gain over the reference in reward scales a decision."""
    return 0.0 if policy is None else truth_of(world, policy).value - reference_value(world.name)


@lru_cache
def reference_value(name: str) -> float:
    """Return the true value of the reference in a world."""
    return truth_of(world_named(name), None).value


@lru_cache
def attainable_gain(name: str) -> float:
    """Return the true gain of the best known policy of a family, or 0 in a planted world."""
    world = world_named(name)
    return gain_of(world, best_policy(world)) if name in FAMILIES else 0.0
