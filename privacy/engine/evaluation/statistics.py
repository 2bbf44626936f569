"""Compute what each person contributes to the evaluation of a candidate, from their logged decisions.

The estimator is off-policy and doubly robust, with the released model as control variate (Dudik, Langford and Li 2011),
clustered by user. The rival is the reference or the deployed policy. Each metric is one number per person, centred at its bar
(``privacy.engine.evaluation.centred_sums``):

- ``improvement``: paired difference to the rival of the *immediate* reward;
- ``improvement_HEAD``: a sub-head's paired difference to its own rival, of r plus the modelled later worth of the state
  changes, over rows where the sub-head made a choice;
- ``empathy_deficit``: 1 - empathy over the candidate's rated interventions, by importance weight;
- ``false_intervention``: interventions with a harmful label among those that were answered, by importance weight;
- ``silence``: interventions without an answer among the candidate's, and ``silence_logged``: among the logged ones;
- ``support``: how much more or less often than declared the log did what candidate and rival would do where they differ;
- ``stability``: reward under the candidate, later half of a person's rows minus earlier half.

Rewards are in reward scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from core.arrays import Bools, Floats, Ints
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import LoopSpec
from loops.engine.thresholds import EMPATHY_BAR, FALSE_INTERVENTION_BAR
from privacy.engine.evaluation.centred_sums import PersonValues
from privacy.engine.moments.rows import ReleaseRows, person_sums

DEFICIT_BAR = 1.0 - EMPATHY_BAR


@dataclass(frozen=True)
class EvaluationRows:
    """n rows of the evaluation people, with marginal propensities.

    empathy (n,): NaN where not observed. harmful (n,): 1, 0, or -1 without a label. A row may have a label and no reward (NaN).
    """

    rows: ReleaseRows
    empathy: Floats
    harmful: Ints


@dataclass(frozen=True)
class EvaluationCandidate:
    """A candidate policy, its rival, and the released model as control variate.

    reward (K, d): phi . reward[a] is the modelled reward. ``intervention_rate``: of the policy in the released model, None if not
    known. ``subs``: the sub-heads to evaluate, each with its own rival and modelled target.
    ``main`` False: evaluate the sub-heads alone.
    """

    policy: LinearPolicy
    rival: LinearPolicy
    reward: Floats
    subs: Mapping[str, SubCandidate] = field(default_factory=dict)
    main: bool = True
    intervention_rate: float | None = None


@dataclass(frozen=True)
class SubCandidate:
    """A sub-head's policy and its rival.

    effects (K_h, d): phi . effects[a] is the modelled gain over the sub-head's reference, in reward scales.
    """

    policy: LinearPolicy
    rival: LinearPolicy
    effects: Floats


def measured_metrics(spec: LoopSpec) -> tuple[str, ...]:
    """Return the metrics that a loop's data supports.

    The empathy deficit needs that component, and false interventions need a label. Silence is measured where the loop does not
    say what it means.
    """
    out = ["improvement", "support"]
    if measures_empathy(spec):
        out.append("empathy_deficit")
    if spec.imports.label is not None:
        out.append("false_intervention")
        out += ["silence", "silence_logged"] if spec.reward.silence == "unknown" else []
    return (*out, "stability")


def measures_empathy(spec: LoopSpec) -> bool:
    """Return whether outcomes of this loop carry an empathy component."""
    return "empathy" in spec.imports.reward


def person_values(
    spec: LoopSpec, evaluation: EvaluationRows, candidate: EvaluationCandidate
) -> dict[str, PersonValues]:
    """Return each metric's number of every person (U,), before clipping. Shares come with their weight."""
    phi = candidate.policy.phi.phi(evaluation.rows.state)
    modelled = phi @ candidate.reward.T
    values = _of_policy(spec, evaluation, candidate, modelled) if candidate.main else {}
    rows, index = evaluation.rows, np.arange(len(evaluation.rows.state))
    residual = _residual(spec, rows, modelled[index, rows.action])
    for head, sub in candidate.subs.items():
        values[sub_metric(head)] = _mean(rows, _sub_difference(rows, head, sub, residual))
    return values


def _of_policy(
    spec: LoopSpec, evaluation: EvaluationRows, candidate: EvaluationCandidate, modelled: Floats
) -> dict[str, PersonValues]:
    rows, index = evaluation.rows, np.arange(len(evaluation.rows.state))
    target, rival = candidate.policy.actions(rows.state), candidate.rival.actions(rows.state)
    weight, against = (target == rows.action) / rows.propensity, (rival == rows.action) / rows.propensity
    residual = _residual(spec, rows, modelled[index, rows.action])
    alone = modelled[index, target] + weight * residual
    values = {
        "improvement": _mean(rows, modelled[index, target] - modelled[index, rival] + (weight - against) * residual),
        "support": _support(rows, target != rival, weight, against),
        "stability": _mean(rows, alone * _halves(rows)),
    }
    values |= _of_interventions(spec, evaluation, weight * (target != candidate.policy.reference), candidate)
    return {metric: values[metric] for metric in measured_metrics(spec)}


def _of_interventions(
    spec: LoopSpec, evaluation: EvaluationRows, intervenes: Floats, candidate: EvaluationCandidate
) -> dict[str, PersonValues]:
    """Return the shares over interventions. ``intervenes`` (n,): the importance weight where the candidate intervenes, else 0."""
    rows, rated = evaluation.rows, np.isfinite(evaluation.empathy)
    deficit = np.where(rated, 1.0 - np.nan_to_num(evaluation.empathy), 0.0)
    harmful, answered = harm_and_answers(spec, evaluation.harmful)
    logged = (rows.action != candidate.policy.reference).astype(float)
    silent = evaluation.harmful < 0
    return {
        "empathy_deficit": _share(rows, intervenes * deficit, intervenes * rated, DEFICIT_BAR),
        "false_intervention": _share(rows, intervenes * harmful, intervenes * answered, FALSE_INTERVENTION_BAR),
        "silence": _share(rows, intervenes * silent, intervenes, 0.0),
        "silence_logged": _share(rows, logged * silent, logged, 0.0),
    }


def harm_and_answers(spec: LoopSpec, harmful: Ints) -> tuple[Bools, Bools]:
    """Return which rows (n,) count as harmed, and which count at all, by what the loop says about silence.

    ``harmful`` (n,): 1, 0, or -1 without an answer. Unknown silence is left out, harmless silence counts as good, and harmful
    silence as harm.
    """
    silent = harmful < 0
    if spec.reward.silence == "unknown":
        return harmful == 1, ~silent
    everything = np.ones(len(harmful), bool)
    return (harmful == 1) | silent if spec.reward.silence == "harmful" else harmful == 1, everything


def _support(rows: ReleaseRows, differs: Bools, weight: Floats, against: Floats) -> PersonValues:
    """Return mean weight minus 1 where candidate and rival differ, with the share of such rows as weight.

    Its expectation is 0 if propensities are right. It is -1/2 of the weight if the log never did one of both, and -1 if it did
    neither.
    """
    matched = differs * ((weight + against) / 2 - 1.0)
    return _share(rows, matched, differs.astype(float), 0.0)


def sub_metric(head: str) -> str:
    """Return the metric name of a sub-head."""
    return f"improvement_{head}"


def _sub_difference(rows: ReleaseRows, head: str, sub: SubCandidate, outcome: Floats) -> Floats:
    """Return the doubly robust paired difference (n,) where the head made a choice, else 0.

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
    return np.asarray(difference * chose)


def _halves(rows: ReleaseRows) -> Floats:
    """Return +2 in the later half of a person's rows and -2 in the earlier, so that the person's average is the difference."""
    starts = np.searchsorted(rows.person, np.arange(rows.users))
    counts = np.bincount(rows.person, minlength=rows.users)
    position = np.arange(len(rows.person)) - starts[rows.person]
    return np.where(position * 2 >= counts[rows.person], 2.0, -2.0)


def _residual(spec: LoopSpec, rows: ReleaseRows, modelled: Floats) -> Floats:
    """Return the observed reward less the modelled one (n,), in reward scales, 0 without a reward."""
    return np.nan_to_num(rows.reward / spec.reward.scale - modelled)


def _mean(rows: ReleaseRows, per_row: Floats) -> PersonValues:
    """Return the average over each person's rows with a reward. People without one are not measured."""
    seen = np.isfinite(rows.reward).astype(np.float64)
    total = person_sums(rows.person, np.column_stack([per_row * seen, seen]), rows.users)
    return PersonValues(total[:, 0] / np.maximum(total[:, 1], 1.0), measured=total[:, 1] > 0)


def _share(rows: ReleaseRows, numerator: Floats, denominator: Floats, bar: float) -> PersonValues:
    """Return the person's numerator minus bar times denominator, and the denominator, each averaged over the person's rows."""
    averages = _averages(rows, numerator, denominator)
    return PersonValues(averages[:, 0] - bar * averages[:, 1], averages[:, 1])


def _averages(rows: ReleaseRows, *per_row: Floats) -> Floats:
    """Return averages (U, k) over each person's rows."""
    counts = np.maximum(np.bincount(rows.person, minlength=rows.users), 1.0)
    return person_sums(rows.person, np.column_stack(per_row), rows.users) / counts[:, None]
