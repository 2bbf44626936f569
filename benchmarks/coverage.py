"""Measure how often the gate's intervals hold the truth, with candidates that no data chose.

A large population is simulated once a cell. Each replication draws people from it, makes the charged release with its noise, and
reads the interval that the gate would read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.worlds.plain import plain_text
from core.arrays import Bools, Floats, Ints
from loops.engine.features import FeatureMap
from loops.engine.parse.loop import parse_loop
from loops.engine.policies.linear import LinearPolicy, reference_policy
from loops.engine.spec import LoopSpec
from loops.engine.thresholds import FALSE_INTERVENTION_BAR
from privacy.engine.dp.accounting import gaussian_mu
from privacy.engine.evaluation.centred_sums import PersonValues, ValueClips, read_centred, release_centred
from privacy.engine.evaluation.clips import evaluation_clips
from privacy.engine.evaluation.release import EVALUATION_SHARES, release_values
from privacy.engine.evaluation.statistics import DEFICIT_BAR, EvaluationCandidate, EvaluationRows, person_values
from privacy.engine.moments.rows import ReleaseRows
from tests.factories.trial_people import SPEC, TrialPeople, verdicts
from training.engine.gates.decision_rule import attempt_alpha
from training.engine.gates.gate_terms import GateTerms
from training.engine.intervals.centred import mean_interval, share_interval
from training.engine.intervals.clustered import Interval

PEOPLE, DECISIONS, ATTEMPTS = 400, 30, 12
PROPENSITIES, TAILS = (0.05, 0.2, 0.5), ("normal", "heavy")
METRICS = ("improvement", "false_intervention", "empathy_deficit")
_POPULATION, _TAIL, _NEED = 40_000, 3, 1  # people; degrees of freedom of Student's t; column of the feature
_EFFECT, _HARM, _DEFICIT, _ANSWERING = 0.2, 0.08, 0.18, 0.8


@dataclass(frozen=True)
class Cell:
    """Define a cell: the probability of pinging in the log, and the tails of the rewards."""

    propensity: float
    tail: str

    @property
    def spec(self) -> LoopSpec:
        """Return the loop: a plain one with this logging."""
        head = f"""
[heads.policy]
actions = ["wait", "ping"]
reference = "wait"
logging = [{1 - self.propensity}, {self.propensity}]
"""
        return parse_loop(plain_text("coverage", head=head), source="coverage.toml")


@dataclass(frozen=True)
class Simulated:
    """Hold a population's logged rows, and each row's true effect and chances of harm and deficit (n,)."""

    evaluation: EvaluationRows
    effect: Floats
    harm: Floats
    deficit: Floats


def simulated(cell: Cell, rng: np.random.Generator, *, effect: float = _EFFECT) -> Simulated:
    """Simulate the log of the population. People differ in level, effect, harm and deficit."""
    people, n = _POPULATION, _POPULATION * DECISIONS
    person = np.repeat(np.arange(people), DECISIONS)
    level, own = (0.3 * rng.normal(size=people))[person], (effect + abs(effect) * rng.normal(size=people))[person]
    harm = rng.beta(2, 2 / _HARM - 2, size=people)[person]
    deficit = rng.beta(6, 6 / _DEFICIT - 6, size=people)[person]
    state = _states(n, rng)
    effects = own * (2.0 * state[:, _NEED])
    action = (rng.random(n) < cell.propensity).astype(np.int64)
    noise = rng.normal(size=n) if cell.tail == "normal" else rng.standard_t(_TAIL, size=n) / np.sqrt(3.0)
    reward = 0.6 + level + 0.5 * state[:, 0] + action * effects + noise
    answered, rated = rng.random((2, n)) < _ANSWERING
    rows = ReleaseRows(
        person=person, state=state, next_state=state, has_next=np.zeros(n, bool), dropped_out=np.zeros(n, bool),
        action=action, propensity=np.where(action == 1, cell.propensity, 1 - cell.propensity), explored=np.ones(n, bool),
        reward=reward * cell.spec.reward.scale,
    )  # fmt: skip
    empathy = np.where(rated & (action == 1), 1.0 - np.clip(deficit + 0.1 * rng.normal(size=n), 0, 1), np.nan)
    harmful = np.where(answered, (action == 1) & (rng.random(n) < harm), -1).astype(np.int64)
    return Simulated(EvaluationRows(rows, empathy, harmful), effects, harm, deficit)


def _states(n: int, rng: np.random.Generator) -> Floats:
    return np.column_stack(
        [np.clip(0.3 * rng.normal(size=n), -1, 1), rng.random(n), rng.integers(3, size=n), rng.random(n), rng.random(n)]
    )


def candidate_of(spec: LoopSpec, policy: LinearPolicy) -> EvaluationCandidate:
    """Return a candidate over the reference whose model knows the usual reward alone."""
    reward = np.zeros((2, policy.phi.width))
    reward[:, 0] = 0.6
    return EvaluationCandidate(policy, reference_policy(spec, "policy"), reward)


def needy_policy(spec: LoopSpec) -> LinearPolicy:
    """Return the policy that pings where the need is above the middle."""
    phi = FeatureMap.of(spec, False)
    weights = np.zeros((2, phi.width))
    weights[1, phi.columns_of("need")[0]] = 1.0
    return LinearPolicy(phi, weights, 0.0, 0)


def random_policies(spec: LoopSpec, count: int, rng: np.random.Generator) -> list[LinearPolicy]:
    """Draw policies."""
    phi = FeatureMap.of(spec, False)
    drawn = rng.normal(size=(count, 2, phi.width)) * np.array([0.0, 1.0])[:, None]
    return [LinearPolicy(phi, weights, 0.0, 0) for weights in drawn]


def coverage(task: tuple[Cell, int]) -> list[dict[str, Any]]:
    """Return a row for each metric of a cell, over this many replications: coverage, and misses on either side."""
    cell, replications = task
    rng, spec = np.random.default_rng([17, round(1_000 * cell.propensity), len(cell.tail)]), cell.spec
    people, policy = simulated(cell, rng), needy_policy(spec)
    truth = _truth(people, policy)
    values, clips, intervals = *_prepared(spec, people, policy), list[dict[str, Interval]]()
    for _ in range(replications):
        chosen = rng.integers(_POPULATION, size=PEOPLE)
        intervals.append(_intervals(spec, _of(values, chosen), clips))
    return [_row(cell, metric, truth[metric], [i[metric] for i in intervals]) for metric in METRICS]


def _prepared(
    spec: LoopSpec, people: Simulated, policy: LinearPolicy
) -> tuple[dict[str, PersonValues], dict[str, ValueClips]]:
    candidate = candidate_of(spec, policy)
    values, clips = person_values(spec, people.evaluation, candidate), evaluation_clips(spec, candidate, DECISIONS)
    return dict(values), dict(clips)


def _of(values: dict[str, PersonValues], chosen: Ints) -> dict[str, PersonValues]:
    return {m: PersonValues(v.value[chosen], None if v.weight is None else v.weight[chosen]) for m, v in values.items()}


def sigma_of_a_release() -> float:
    """Return the noise multiplier where everybody trains and judges."""
    return float(np.sqrt(2.0)) / gaussian_mu(1.0, 1e-5)


def _intervals(spec: LoopSpec, values: dict[str, PersonValues], clips: dict[str, ValueClips]) -> dict[str, Interval]:
    """Release the values, and read the 95% intervals as the gate does."""
    stored = release_values(values, clips, EVALUATION_SHARES, sigma_of_a_release())
    bars = {"false_intervention": FALSE_INTERVENTION_BAR, "empathy_deficit": DEFICIT_BAR}
    shares = {m: share_interval(read_centred(stored, m), bar, level=0.95) for m, bar in bars.items()}
    improvement = mean_interval(read_centred(stored, "improvement"), level=0.95, reach=GateTerms(spec, 0.0).reach)
    return shares | {"improvement": improvement}


def _passes(spec: LoopSpec, values: PersonValues, clips: ValueClips, attempt: int) -> bool:
    """Release the improvement alone, at its share of an evaluation, and test it at an attempt's level."""
    share = EVALUATION_SHARES["improvement"] / sum(EVALUATION_SHARES.values())
    stored = release_centred("improvement", values, clips, sigma=sigma_of_a_release(), share=share)
    level, reach = 1 - 2 * attempt_alpha(attempt), GateTerms(spec, 0.0).reach
    return mean_interval(read_centred(stored, "improvement"), level=level, reach=reach).low > 0


def _truth(people: Simulated, policy: LinearPolicy) -> dict[str, float]:
    rows = people.evaluation.rows
    acts: Bools = policy.actions(rows.state) == 1
    return {
        "improvement": float((acts * people.effect).mean()),
        "false_intervention": float(people.harm[acts].mean()),
        "empathy_deficit": float(people.deficit[acts].mean()),
    }


def _row(cell: Cell, metric: str, truth: float, intervals: list[Interval]) -> dict[str, Any]:
    low, high = (np.array([getattr(i, end) for i in intervals]) for end in ("low", "high"))
    return {
        "part": "coverage", "propensity": cell.propensity, "tail": cell.tail, "metric": metric, "truth": truth,
        "coverage": float(np.mean((low <= truth) & (truth <= high))), "above": float(np.mean(low > truth)),
        "below": float(np.mean(high < truth)), "width": float(np.median(high - low)), "replications": len(intervals),
    }  # fmt: skip


def attempts(task: tuple[Cell, int]) -> dict[str, Any]:
    """Test twelve candidates without any effect on the same people, each at its own attempt's level.

    A replication fails if any of them passes as an improvement. Each attempt is a release with noise of its own.
    """
    cell, replications = task
    rng, spec = np.random.default_rng([23, round(1_000 * cell.propensity), len(cell.tail)]), cell.spec
    people, passed = simulated(cell, rng, effect=0.0), 0
    prepared = [_prepared(spec, people, policy) for policy in random_policies(spec, ATTEMPTS, rng)]
    for _ in range(replications):
        chosen = rng.integers(_POPULATION, size=PEOPLE)
        passed += any(
            _passes(spec, PersonValues(values["improvement"].value[chosen]), clips["improvement"], k)
            for k, (values, clips) in enumerate(prepared, start=1)
        )
    return {
        "part": "attempts", "propensity": cell.propensity, "tail": cell.tail, "any_passed": passed,
        "replications": replications,
    }  # fmt: skip


def trial_coverage(task: tuple[str, int]) -> dict[str, Any]:
    """Return how often the interval of the improvement in a trial's first look holds the truth, by tail."""
    tail, replications = task
    people = TrialPeople(gain=_EFFECT, heavy=_TAIL if tail == "heavy" else None)
    read = verdicts(people, users=PEOPLE, lives=replications)
    found = [next(j for j in v.judgements if j.name == "improvement") for v in read]
    scale = SPEC.reward.scale
    intervals = [Interval(j.value / scale, j.low / scale, j.high / scale, 0.0, 0.0, PEOPLE, PEOPLE, 0.0) for j in found]
    return _row(Cell(0.5, tail), "trial", people.gain, intervals)
