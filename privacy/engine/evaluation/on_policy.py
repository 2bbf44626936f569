"""Judge a trial by noised sums with one on-policy number a person: half of the people had the candidate, half the reference.

Arms are drawn by person, 50:50, so no decision needs an importance weight. With s = +1 in the candidate's arm, -1 in the
reference's, y the person's mean reward and m a public centre, v = 2 s (y - m) has the mean difference of the arms as its mean
(Horvitz and Thompson 1952). y - m is clipped at .75 reward scales, so that |v| <= 1.5. The guardrails are read in the
candidate's arm only, as sums that are at most 0 exactly if the bar is met:

- ``false_intervention``: harmful labels - .10 x labelled interventions, a decision;
- ``empathy_deficit``: (1 - empathy) - .25 over rated interventions, a decision.

The clips of both bind jointly and follow the candidate's released intervention rate. What a clip hides is released as well, so
that it widens a verdict or leaves it open. Unit: user; neighbouring relation: add or remove one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import Bools, Floats, Ints
from loops.engine.spec import LoopSpec
from loops.engine.thresholds import EMPATHY_BAR, FALSE_INTERVENTION_BAR
from privacy.engine.dp.mechanisms import noisy_sum
from privacy.engine.evaluation.statistics import measures_empathy
from privacy.engine.moments.rows import person_sums

TRIAL_METRICS = {"improvement": 0.5, "false_intervention": 0.35, "empathy_deficit": 0.15}
GUARDRAILS = {"false_intervention": FALSE_INTERVENTION_BAR, "empathy_deficit": 1 - EMPATHY_BAR}
TRIAL_CLIP = 0.75  # reward scales around the centre
_LEAST_RATE = 0.1  # of interventions a decision, so that a clip never vanishes
# Columns of a person's vector and their scales. What decides a verdict is measured most precisely.
IMPROVEMENT_COLUMNS = {"value": 1.0, "square": 0.3, "users": 0.3, "arms": 0.4, "hidden_loss": 2.0, "hidden_gain": 0.3}
GUARDRAIL_COLUMNS = {"value": 1.0, "square": 0.3, "base": 0.25, "clipped": 0.3}


@dataclass(frozen=True)
class TrialRows:
    """n available decisions of U people in a trial, whose rewards are closed and observed.

    person (n,): numbers 0..U-1, each present. candidate (U,): whether the person's arm is the candidate's. reward (n,) in the
    loop's units. intervened (n,). empathy (n,): NaN where not observed. harmful (n,): 1, 0, or -1 without a label.
    """

    person: Ints
    candidate: Bools
    reward: Floats
    intervened: Bools
    empathy: Floats
    harmful: Ints

    @property
    def users(self) -> int:
        return len(self.candidate)


def trial_metrics(spec: LoopSpec) -> tuple[str, ...]:
    """Return the metrics that a loop's trial measures: empathy needs that component, false interventions need a label."""
    out = ["improvement"]
    if spec.imports.label is not None:
        out.append("false_intervention")
    return (*out, "empathy_deficit") if measures_empathy(spec) else tuple(out)


def guardrail_clips(spec: LoopSpec, *, intervention_rate: float, exploration: float) -> dict[str, float]:
    """Return the public clip of each guardrail: its largest value in a person who intervenes at the candidate's rate.

    Args:
        intervention_rate: the candidate's released share of decisions with an intervention.
        exploration: the share of decisions drawn from the logging distribution.
    """
    head = spec.main_head
    explored = 1.0 - head.logging[head.reference_index]
    rate = max((1.0 - exploration) * intervention_rate + exploration * explored, _LEAST_RATE)
    return {metric: (1.0 - GUARDRAILS[metric]) * rate for metric in trial_metrics(spec) if metric in GUARDRAILS}


def release_trial(
    spec: LoopSpec, rows: TrialRows, *, centre: float, clips: Mapping[str, float], sigma: float | None
) -> dict[str, np.ndarray]:
    """Compute the noised round of a trial's release.

    Args:
        centre: public mean reward (reward scales) that people's means are compared with.
        clips: of the guardrails (``guardrail_clips``).
    Returns: for each metric ``NAME`` its noised sums in the units of its columns, ``NAME_sd`` the noise on each, ``NAME_rho``
        (1,) the rho spent, ``NAME_clip`` (1,) the clip of its value. With ``sigma`` None no noise is added.
    """
    vectors = trial_contributions(spec, rows, centre=centre, clips=clips)
    whole = sum(TRIAL_METRICS[metric] for metric in vectors)
    out: dict[str, np.ndarray] = {}
    for metric, vector in vectors.items():
        columns, clip = _columns(metric), clips.get(metric, 2 * TRIAL_CLIP)
        scales, share = np.array(list(columns.values())), TRIAL_METRICS[metric] / whole
        block = noisy_sum(vector, clip=float(np.linalg.norm(scales)), sigma=sigma, share=share)
        units = np.array([{"value": clip, "square": clip**2}.get(name, 1.0) for name in columns]) / scales
        out[metric], out[f"{metric}_sd"] = block.values * units, block.sd * units
        out[f"{metric}_rho"], out[f"{metric}_clip"] = np.array([block.rho]), np.array([clip])
    return out


def trial_contributions(
    spec: LoopSpec, rows: TrialRows, *, centre: float, clips: Mapping[str, float]
) -> dict[str, Floats]:
    """Return each person's scaled vector (U, k) by metric. Its norm is at most that of the metric's scales."""
    out = {"improvement": _improvement(spec, rows, centre)}
    out |= {metric: _guardrail(rows, metric, clip) for metric, clip in clips.items()}
    return {metric: vector * np.array(list(_columns(metric).values())) for metric, vector in out.items()}


def _columns(metric: str) -> Mapping[str, float]:
    return GUARDRAIL_COLUMNS if metric in GUARDRAILS else IMPROVEMENT_COLUMNS


def _improvement(spec: LoopSpec, rows: TrialRows, centre: float) -> Floats:
    """Return each person's vector (U, 6) with entries in [-1, 1], in the order of ``IMPROVEMENT_COLUMNS``.

    ``hidden_loss``, ``hidden_gain``: how far beyond the clip a person speaks against the candidate or for it, in clips, at
    most 1.
    """
    sign = np.where(rows.candidate, 1.0, -1.0)
    signed = sign * (_person_means(rows, rows.reward)[0] / spec.reward.scale - centre) / TRIAL_CLIP
    value = np.clip(signed, -1.0, 1.0)
    loss, gain = np.clip(-signed - 1.0, 0.0, 1.0), np.clip(signed - 1.0, 0.0, 1.0)
    return np.column_stack([value, value**2, np.ones(rows.users), sign, loss, gain])


def _guardrail(rows: TrialRows, metric: str, clip: float) -> Floats:
    """Return each person's vector (U, 4) with entries in [-1, 1], 0 in the reference's arm.

    In the order of ``GUARDRAIL_COLUMNS``; ``base``: labelled or rated interventions a decision, at most 1.
    """
    if metric == "false_intervention":
        seen, bad = rows.intervened & (rows.harmful >= 0), (rows.harmful == 1).astype(float)
    else:
        seen = rows.intervened & np.isfinite(rows.empathy)
        bad = np.clip(1.0 - np.nan_to_num(rows.empathy), 0.0, 1.0)
    centred, base = _person_means(rows, seen * (bad - GUARDRAILS[metric]), seen.astype(float))
    value = np.clip(centred / clip, -1.0, 1.0)
    # Rounding must not count a person who is exactly at the clip.
    return np.column_stack([value, value**2, base, centred > clip * (1 + 1e-9)]) * rows.candidate[:, None]


def _person_means(rows: TrialRows, *columns: Floats) -> Floats:
    """Return each person's mean over their decisions, one row (U,) a column."""
    counts = np.maximum(np.bincount(rows.person, minlength=rows.users), 1)
    return person_sums(rows.person, np.column_stack(columns), rows.users).T / counts
