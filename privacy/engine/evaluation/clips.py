"""Choose the public clips of an evaluation from null users, who are simulated from the loop file alone.

Means are clipped at 1.75 times the .95 quantile of null users. Nearly nobody is beyond the clip then, unless outcomes have
heavier tails than the loop declares. A share's centred number is clipped at 1.25 times its .99 quantile in null users whose
share is at the bar.

A share's weight is an importance weight. It is clipped at its .95 quantile, together with the numerator, so that a person's own
share is kept. A lower clip would weigh rare actions, whose importance weights are large, less than they occur. Null users visit
states that people hardly visit, where a policy may intervene far more often. The weight's clip is therefore lowered to what the
policy's rate in the released model implies.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.arrays import Floats
from loops.engine.spec import LoopSpec
from loops.engine.thresholds import FALSE_INTERVENTION_BAR
from privacy.engine.evaluation.centred_sums import ValueClips
from privacy.engine.evaluation.statistics import (
    DEFICIT_BAR,
    EvaluationCandidate,
    EvaluationRows,
    person_values,
)
from privacy.engine.moments.null_population import FULL_LOGGING, LoggingPolicy, null_rows

_NULL_DEFICIT = 2 * DEFICIT_BAR  # largest; uniform below it, so that the mean is at the bar
_QUANTILE, _MEAN_FACTOR = 0.95, 1.75
_SHARE_QUANTILE, _SHARE_FACTOR = 0.99, 1.25
_WEIGHT_QUANTILE = 0.95
_LEAST = 1e-3
_OF_INTERVENTIONS = ("empathy_deficit", "false_intervention", "silence")
_BARS = {"empathy_deficit": DEFICIT_BAR, "false_intervention": FALSE_INTERVENTION_BAR}


def evaluation_clips(
    spec: LoopSpec, candidate: EvaluationCandidate, decisions: int, logged: LoggingPolicy = FULL_LOGGING
) -> dict[str, ValueClips]:
    """Return the public clips by metric, from null users under the logging policy."""
    rows = null_rows(spec, decisions=decisions, logged=logged)
    rng = np.random.default_rng(0)
    n = len(rows.state)
    modelled = np.einsum("nd,nd->n", candidate.policy.phi.phi(rows.state), candidate.reward[rows.action])
    rows = replace(rows, reward=(modelled + rng.normal(size=n)) * spec.reward.scale)
    harmful = (rng.random(n) < FALSE_INTERVENTION_BAR).astype(np.int64)
    evaluation = EvaluationRows(rows, 1.0 - _NULL_DEFICIT * rng.random(n), harmful)
    out = {}
    for metric, values in person_values(spec, evaluation, candidate).items():
        if values.weight is None:
            out[metric] = ValueClips(_reach(values.value, _MEAN_FACTOR))
            continue
        rarer = _rarer(candidate, rows.state) if metric in _OF_INTERVENTIONS else 1.0
        weight = max(rarer * float(np.quantile(values.weight, _WEIGHT_QUANTILE)), _LEAST)
        out[metric] = ValueClips(
            _value_clip(metric, values.value / np.maximum(values.weight / weight, 1.0), weight), weight
        )
    return out


def _value_clip(metric: str, value: Floats, weight: float) -> float:
    """Return the clip of a share's centred number: the largest possible, or less where null users at the bar are far below it."""
    if metric == "support":
        return max(weight, _reach(value, _MEAN_FACTOR))
    if metric not in _BARS:
        return weight
    usual = _SHARE_FACTOR * float(np.quantile(value, _SHARE_QUANTILE))
    # Nobody who is never harmed is beyond it: they must count as good, not as nothing.
    return float(np.clip(max(usual, _BARS[metric] * weight), _LEAST, (1.0 - _BARS[metric]) * weight))


def _rarer(candidate: EvaluationCandidate, states: Floats) -> float:
    """Return how much rarer interventions are in the released model than among null users, at most 1 and at least a fifth."""
    rate = float((candidate.policy.actions(states) != candidate.policy.reference).mean())
    if candidate.intervention_rate is None or rate <= 0:
        return 1.0
    return float(np.clip(candidate.intervention_rate / rate, 0.2, 1.0))


def _reach(values: Floats, factor: float) -> float:
    return max(factor * float(np.quantile(np.abs(values), _QUANTILE)), _LEAST)
