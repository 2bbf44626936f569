"""Compute the noised round of an evaluation: one block of centred sums for each metric.

Unit: user; neighbouring relation: add or remove one. The blocks share the release's rho by ``EVALUATION_SHARES``. Most of it
goes to the two questions that decide most verdicts: the improvement with the people beyond its clip, and false interventions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from loops.engine.spec import LoopSpec
from privacy.engine.evaluation.centred_sums import PersonValues, ValueClips, release_centred
from privacy.engine.evaluation.statistics import EvaluationCandidate, EvaluationRows, person_values

EVALUATION_SHARES = {
    "improvement": 0.26,
    "false_intervention": 0.34,
    "empathy_deficit": 0.12,
    "support": 0.07,
    "silence": 0.11,
    "silence_logged": 0.06,
    "stability": 0.04,
}
SUB_METRIC_SHARE = 0.05  # of the evaluation's budget, for each sub-head that is evaluated with it


def release_evaluation(
    spec: LoopSpec,
    evaluation: EvaluationRows,
    candidate: EvaluationCandidate,
    clips: Mapping[str, ValueClips],
    sigma: float | None,
) -> dict[str, np.ndarray]:
    """Compute the noised sums of every metric, in the arrays of ``release_centred``. With ``sigma`` None no noise is added."""
    return release_values(person_values(spec, evaluation, candidate), clips, EVALUATION_SHARES, sigma)


def release_values(
    values: Mapping[str, PersonValues],
    clips: Mapping[str, ValueClips],
    shares: Mapping[str, float],
    sigma: float | None,
) -> dict[str, np.ndarray]:
    """Release several metrics of one population. Their shares are scaled to sum to 1.

    A metric that is not in ``shares`` is a sub-head's.
    """
    wanted = {metric: shares.get(metric, SUB_METRIC_SHARE) for metric in values}
    total = sum(wanted.values())
    out: dict[str, np.ndarray] = {}
    for metric, value in values.items():
        out |= release_centred(metric, value, clips[metric], sigma=sigma, share=wanted[metric] / total)
    return out
