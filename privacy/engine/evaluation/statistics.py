"""Evaluate a candidate by noisy user-level sums over people who did not train it.

The estimator is off-policy and doubly robust, with the released model as control variate (Dudik, Langford and Li 2011),
clustered by user. The rival is the reference or the deployed policy. Each person has two bounded numbers A and B per metric, and
the metric is sum A / sum B over people:

- ``improvement``: paired difference to the rival of the *immediate* reward; B = 1;
- ``long_run``: paired difference to the rival of r + gamma V(s'), V the released model's value of the rival. It is the gain of
  deviating once and then following the rival (performance-difference lemma); B = 1;
- ``improvement_HEAD``: a sub-head's paired difference to its own rival, of r plus the modelled later worth of the state
  changes, over rows where the sub-head made a choice; B = 1;
- ``empathy_deficit``: 1 - empathy over the candidate's interventions; B = their importance weight;
- ``false_intervention``: interventions with a logged harmful label; B = the interventions' importance weight;
- ``stability``: reward under the candidate, later half of a person's rows minus earlier half; B = 1.

The release holds, per metric, sums of A, B, A^2, AB, B^2 with Gaussian noise. Clips are 1.25 times the .95 quantile of simulated
null users. Unit: user; neighbouring relation: add or remove one. Rewards are in reward scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from core.arrays import Floats, Ints
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import LoopSpec
from privacy.engine.dp.mechanisms import noisy_sum
from privacy.engine.moments.null_population import FULL_LOGGING, LoggingPolicy, null_rows
from privacy.engine.moments.rows import ReleaseRows, person_sums

EVALUATION_METRICS = {
    "improvement": 0.2,
    "long_run": 0.12,
    "empathy_deficit": 0.31,
    "false_intervention": 0.31,
    "stability": 0.055,
}
SUB_METRIC_SHARE = 0.05  # of the evaluation's budget, for each sub-head that is evaluated with it
_MEANS = ("improvement", "long_run", "stability")  # B = 1 for each person
# Scales of (A, B, A^2, AB, B^2) inside one person's vector: A is measured most precisely.
_SCALES = {True: np.array([1.0, 0.3, 0.3, 0.1, 0.1]), False: np.array([1.0, 0.5, 0.3, 0.2, 0.2])}
_NULL_HARM = 0.25
_NULL_DEFICIT = 0.4
_CLIP_QUANTILE, _CLIP_FACTOR = 0.95, 1.25


@dataclass(frozen=True)
class EvaluationRows:
    """n rows of the evaluation people, with marginal propensities.

    empathy (n,): NaN where not observed. harmful (n,): 1, 0, or -1 without a label.
    """

    rows: ReleaseRows
    empathy: Floats
    harmful: Ints


@dataclass(frozen=True)
class EvaluationCandidate:
    """A candidate policy, its rival, and the released model as control variate.

    reward (K, d): phi . reward[a] is the modelled reward. continuation (K, d): phi . continuation[a] is gamma E[V(s')].
    value (d,): V of the rival. ``subs``: the sub-heads to evaluate, each with its own rival and modelled target.
    ``main`` False: evaluate the sub-heads alone.
    """

    policy: LinearPolicy
    rival: LinearPolicy
    reward: Floats
    continuation: Floats
    value: Floats
    gamma: float
    subs: Mapping[str, SubCandidate] = field(default_factory=dict)
    main: bool = True


@dataclass(frozen=True)
class SubCandidate:
    """A sub-head's policy and its rival.

    effects (K_h, d): phi . effects[a] is the modelled gain over the sub-head's reference, in reward scales.
    """

    policy: LinearPolicy
    rival: LinearPolicy
    effects: Floats


def measured_metrics(spec: LoopSpec) -> tuple[str, ...]:
    """Return the metrics that a loop's data supports: empathy deficit needs that component, false intervention a label."""
    out = ["improvement", "long_run"]
    if measures_empathy(spec):
        out.append("empathy_deficit")
    if spec.imports.label is not None:
        out.append("false_intervention")
    return (*out, "stability")


def measures_empathy(spec: LoopSpec) -> bool:
    """Return whether outcomes of this loop carry an empathy component."""
    return "empathy" in spec.imports.reward


def person_statistics(
    spec: LoopSpec, evaluation: EvaluationRows, candidate: EvaluationCandidate
) -> dict[str, tuple[Floats, Floats]]:
    """Return A and B of every person (U,), by metric, before clipping."""
    rows = evaluation.rows
    n, index = len(rows.state), np.arange(len(rows.state))
    target, rival = candidate.policy.actions(rows.state), candidate.rival.actions(rows.state)
    weight = (target == rows.action) / rows.propensity
    paired = weight - (rival == rows.action) / rows.propensity
    phi = candidate.policy.phi.phi(rows.state)
    modelled = phi @ candidate.reward.T
    reward = rows.reward / spec.reward.scale
    immediate = _doubly_robust(modelled, index, target, rival, paired, rows.action, reward)
    follow = modelled + phi @ candidate.continuation.T
    onward = reward + candidate.gamma * ~rows.dropped_out * (
        candidate.policy.phi.phi(rows.next_state) @ candidate.value
    )
    seen = rows.has_next | rows.dropped_out
    later = _doubly_robust(follow, index, target, rival, paired * seen, rows.action, np.where(seen, onward, 0.0))
    alone = modelled[index, target] + weight * (reward - modelled[index, rows.action])
    intervenes = weight * (target != candidate.policy.reference)
    rated = np.isfinite(evaluation.empathy)
    deficit = np.where(rated, 1.0 - np.nan_to_num(evaluation.empathy), 0.0)
    per_row = {
        "improvement": (immediate, np.ones(n)),
        "long_run": (later, np.ones(n)),
        "empathy_deficit": (intervenes * deficit, intervenes * rated),
        "false_intervention": (intervenes * (evaluation.harmful == 1), intervenes),
        "stability": (alone * _halves(rows), np.ones(n)),
    }
    statistics = {m: _averages(rows, *per_row[m]) for m in measured_metrics(spec) if candidate.main}
    for head, sub in candidate.subs.items():
        target_now = reward - modelled[index, rows.action]
        statistics[sub_metric(head)] = _averages(rows, *_sub_statistics(rows, head, sub, target_now))
    return statistics


def sub_metric(head: str) -> str:
    """Return the metric name of a sub-head."""
    return f"improvement_{head}"


def _sub_statistics(rows: ReleaseRows, head: str, sub: SubCandidate, outcome: Floats) -> tuple[Floats, Floats]:
    """Return the doubly robust paired difference (n,) where the head made a choice, else 0, with B = 1.

    ``outcome`` (n,) is the reward minus the part modelled for the main head's action.
    """
    logged_head, n = rows.subs[head], np.arange(len(outcome))
    chose = logged_head.action >= 0
    target, rival = sub.policy.actions(rows.state), sub.rival.actions(rows.state)
    weight = np.where(chose, 1.0 / np.where(chose, logged_head.propensity, 1.0), 0.0)
    paired = weight * ((target == logged_head.action).astype(float) - (rival == logged_head.action))
    modelled = sub.policy.phi.phi(rows.state) @ sub.effects.T
    logged = np.where(chose, logged_head.action, 0)
    difference = modelled[n, target] - modelled[n, rival] + paired * (outcome - modelled[n, logged])
    return difference * chose, np.ones(len(n))


def _doubly_robust(
    modelled: Floats, index: Ints, target: Ints, rival: Ints, paired: Floats, action: Ints, outcome: Floats
) -> Floats:
    difference = modelled[index, target] - modelled[index, rival]
    return np.asarray(difference + paired * (outcome - modelled[index, action]))


def _halves(rows: ReleaseRows) -> Floats:
    """Return +2 in the later half of a person's rows and -2 in the earlier, so that the person's average is the difference."""
    starts = np.searchsorted(rows.person, np.arange(rows.users))
    counts = np.bincount(rows.person, minlength=rows.users)
    position = np.arange(len(rows.person)) - starts[rows.person]
    return np.where(position * 2 >= counts[rows.person], 2.0, -2.0)


def _averages(rows: ReleaseRows, a: Floats, b: Floats) -> tuple[Floats, Floats]:
    counts = np.maximum(np.bincount(rows.person, minlength=rows.users), 1.0)
    sums = person_sums(rows.person, np.column_stack([a, b]), rows.users) / counts[:, None]
    return sums[:, 0], sums[:, 1]


def evaluation_clips(
    spec: LoopSpec, candidate: EvaluationCandidate, decisions: int, logged: LoggingPolicy = FULL_LOGGING
) -> dict[str, tuple[float, float]]:
    """Return public clips of A and B by metric: 1.25 times the .95 quantile of null users under the logging policy.

    Metrics that are means have B = 1.
    """
    rows = null_rows(spec, decisions=decisions, logged=logged)
    rng = np.random.default_rng(0)
    n = len(rows.state)
    modelled = np.einsum("nd,nd->n", candidate.policy.phi.phi(rows.state), candidate.reward[rows.action])
    rows = replace(rows, reward=(modelled + rng.normal(size=n)) * spec.reward.scale)
    evaluation = EvaluationRows(rows, np.full(n, 1.0 - _NULL_DEFICIT), (rng.random(n) < _NULL_HARM).astype(np.int64))
    out = {}
    for metric, (a, b) in person_statistics(spec, evaluation, candidate).items():
        clip_a = _CLIP_FACTOR * float(np.quantile(np.abs(a), _CLIP_QUANTILE))
        clip_b = 1.0 if _is_mean(metric) else _CLIP_FACTOR * float(np.quantile(b, _CLIP_QUANTILE))
        out[metric] = (max(clip_a, 1e-3), max(clip_b, 1e-3))
    return out


def _is_mean(metric: str) -> bool:
    return metric in _MEANS or metric.startswith("improvement_")


def _metric_share(metric: str) -> float:
    return EVALUATION_METRICS.get(metric, SUB_METRIC_SHARE)


def release_evaluation(
    spec: LoopSpec,
    evaluation: EvaluationRows,
    candidate: EvaluationCandidate,
    clips: dict[str, tuple[float, float]],
    sigma: float | None,
) -> dict[str, np.ndarray]:
    """Compute the noised round of an evaluation.

    Returns for each metric ``NAME`` (5,): the sums of A, B, A^2, AB, B^2. ``NAME_sd`` (5,) is their noise, ``NAME_rho`` (1,) the
    rho spent, and ``NAME_clips`` (2,) the clips of A and B. With ``sigma`` None no noise is added.
    """
    statistics = person_statistics(spec, evaluation, candidate)
    total_share = sum(map(_metric_share, statistics))
    out: dict[str, np.ndarray] = {}
    for metric, (a, b) in statistics.items():
        clip_a, clip_b = clips[metric]
        x, y = np.clip(a / clip_a, -1, 1), np.clip(b / clip_b, -1, 1)
        scales = _SCALES[_is_mean(metric)]
        vector = np.column_stack([x, y, x * x, x * y, y * y]) * scales
        share = _metric_share(metric) / total_share
        block = noisy_sum(vector, clip=float(np.linalg.norm(scales)), sigma=sigma, share=share)
        units = np.array([clip_a, clip_b, clip_a**2, clip_a * clip_b, clip_b**2]) / scales
        out[metric], out[f"{metric}_sd"] = block.values * units, block.sd * units
        out[f"{metric}_rho"], out[f"{metric}_clips"] = np.array([block.rho]), np.array([clip_a, clip_b])
    return out
