"""Compute the noised round of an evaluation: one block of centred sums for each metric.

Unit: user; neighbouring relation: add or remove one. The blocks share the release's rho by ``EVALUATION_SHARES``. Most of it
goes to the two questions that decide most verdicts: the improvement with the people beyond its clip, and false interventions.

Where people's levels differ far more than the loop's scale says, many lie beyond the improvement's clip. So the release first
counts them (``spread``), and takes a clip three times as wide if they are surely more than 4%.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from core.arrays import Floats
from loops.engine.spec import LoopSpec
from privacy.engine.dp.mechanisms import noisy_sum
from privacy.engine.evaluation.centred_sums import HEAD_COUNT_Z, PersonValues, ValueClips, release_centred
from privacy.engine.evaluation.statistics import EvaluationCandidate, EvaluationRows, person_values

EVALUATION_SHARES = {
    "spread": 0.03,
    "improvement": 0.24,
    "false_intervention": 0.34,
    "empathy_deficit": 0.12,
    "support": 0.07,
    "silence": 0.11,
    "silence_logged": 0.05,
    "stability": 0.04,
}
WIDER, MOST_BEYOND = 3.0, 0.04
_PEOPLE_SCALE = 0.3
SPREAD_NORM = float(np.hypot(1.0, _PEOPLE_SCALE))
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
    chosen, out, spread = dict(clips), dict[str, np.ndarray](), shares.get("spread", 0.0)
    total = sum(wanted.values()) + (spread if "improvement" in values else 0.0)
    if spread and "improvement" in values:
        wide, rho = _is_wide(values["improvement"], clips["improvement"], sigma, spread / total)
        chosen["improvement"] = replace(
            clips["improvement"], value=clips["improvement"].value * (WIDER if wide else 1.0)
        )
        out["spread_rho"] = np.array([rho])
    for metric, value in values.items():
        out |= release_centred(metric, value, chosen[metric], sigma=sigma, share=wanted[metric] / total)
    return out


def _is_wide(values: PersonValues, clips: ValueClips, sigma: float | None, share: float) -> tuple[bool, float]:
    """Return whether surely more than ``MOST_BEYOND`` of the people lie beyond a clip, by a noised count, and the rho spent."""
    rows = beyond_rows(values, clips)
    sums = noisy_sum(rows, clip=SPREAD_NORM, sigma=sigma, share=share)
    beyond, people = sums.values[0], sums.values[1] / _PEOPLE_SCALE
    return bool(beyond - HEAD_COUNT_Z * sums.sd > MOST_BEYOND * max(people, 0.0)), sums.rho


def beyond_rows(values: PersonValues, clips: ValueClips) -> Floats:
    """Return whether each person is beyond the clip, and their count at a scale of .3: (U, 2)."""
    people = np.ones(len(values.value)) if values.measured is None else values.measured.astype(np.float64)
    return np.column_stack([np.abs(values.value) > clips.value, _PEOPLE_SCALE * people])
