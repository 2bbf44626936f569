"""Choose the public clips of an evaluation from null users, who are simulated from the loop file alone.

Means are clipped at 1.75 times the .95 quantile of null users. Nearly nobody is beyond the clip then, unless outcomes have
heavier tails than the loop declares. A share's weight is clipped at 1.25 times its .95 quantile. Its value can then be at most
(1 - bar) times that.
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

_NULL_HARM, _NULL_DEFICIT = 0.25, 0.4
_QUANTILE, _MEAN_FACTOR, _WEIGHT_FACTOR = 0.95, 1.75, 1.25
_LEAST = 1e-3
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
    evaluation = EvaluationRows(rows, np.full(n, 1.0 - _NULL_DEFICIT), (rng.random(n) < _NULL_HARM).astype(np.int64))
    out = {}
    for metric, values in person_values(spec, evaluation, candidate).items():
        if values.weight is None:
            out[metric] = ValueClips(_reach(values.value, _MEAN_FACTOR))
            continue
        weight = _reach(values.weight, _WEIGHT_FACTOR)
        largest = max(weight, _reach(values.value, _MEAN_FACTOR)) if metric == "support" else weight
        out[metric] = ValueClips((1.0 - _BARS.get(metric, 0.0)) * largest, weight)
    return out


def _reach(values: Floats, factor: float) -> float:
    return max(factor * float(np.quantile(np.abs(values), _QUANTILE)), _LEAST)
