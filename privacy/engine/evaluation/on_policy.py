"""Judge a trial by noised sums with one on-policy number a person: half of the people had the candidate, half the reference.

Arms are drawn by person, 50:50, so no decision needs an importance weight. With s = +1 in the candidate's arm, -1 in the
reference's, y the person's mean reward and m a public centre, v = 2 s (y - m) has the mean difference of the arms as its mean
(Horvitz and Thompson 1952). y - m is clipped at .75 reward scales, so that |v| <= 1.5. What the clip hides is released on each
side, because gains of many must not cancel the losses of a few. The guardrails are read in the candidate's arm only, centred at
their bars (``privacy.engine.evaluation.centred_sums``):

- ``false_intervention``: harmful among answered interventions;
- ``silence``: interventions without an answer, where the loop does not say what silence means;
- ``empathy_deficit``: 1 - empathy over rated interventions.

Their clips follow the candidate's released intervention rate. Unit: user; neighbouring relation: add or remove one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import Bools, Floats, Ints
from loops.engine.spec import LoopSpec
from loops.engine.thresholds import FALSE_INTERVENTION_BAR
from privacy.engine.dp.mechanisms import noisy_sum
from privacy.engine.evaluation.centred_sums import PersonValues, ValueClips, release_centred
from privacy.engine.evaluation.statistics import DEFICIT_BAR, harm_and_answers, measured_metrics
from privacy.engine.moments.rows import person_sums

TRIAL_SHARES = {"improvement": 0.40, "false_intervention": 0.46, "empathy_deficit": 0.10, "silence": 0.04}
_BARS = {"false_intervention": FALSE_INTERVENTION_BAR, "empathy_deficit": DEFICIT_BAR, "silence": 0.0}
TRIAL_CLIP = 0.75  # reward scales around the centre
_UNIT = 2 * TRIAL_CLIP  # the largest |v|
_LEAST_RATE = 0.1  # of interventions a decision, so that a clip never vanishes
# Columns of a person's improvement and their scales. What decides a verdict is measured most precisely.
IMPROVEMENT_COLUMNS = {"value": 1.0, "square": 0.3, "users": 0.3, "arms": 0.4, "hidden_loss": 2.0, "hidden_gain": 0.3}
IMPROVEMENT_CLIP = float(np.linalg.norm(list(IMPROVEMENT_COLUMNS.values())))


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


def guardrails(spec: LoopSpec) -> tuple[str, ...]:
    """Return the guardrails that a loop's trial measures: those of its evaluation that need neither log nor reference."""
    return tuple(metric for metric in measured_metrics(spec) if metric in _BARS)


def guardrail_clips(spec: LoopSpec, *, intervention_rate: float, exploration: float) -> dict[str, ValueClips]:
    """Return the public clips of each guardrail: its largest value in a person who intervenes at the candidate's rate.

    Args:
        intervention_rate: the candidate's released share of decisions with an intervention.
        exploration: the share of decisions drawn from the logging distribution.
    """
    head = spec.main_head
    explored = 1.0 - head.logging[head.reference_index]
    rate = max((1.0 - exploration) * intervention_rate + exploration * explored, _LEAST_RATE)
    # Slightly more, so that rounding puts nobody at the clip beyond it.
    return {metric: ValueClips((1.0 - _BARS[metric]) * rate * (1 + 1e-9), rate) for metric in guardrails(spec)}


def release_trial(
    spec: LoopSpec, rows: TrialRows, *, centre: float, clips: Mapping[str, ValueClips], sigma: float | None
) -> dict[str, np.ndarray]:
    """Compute the noised round of a trial's release.

    Args:
        centre: public mean reward (reward scales) that people's means are compared with.
        clips: of the guardrails (``guardrail_clips``).
    Returns: ``improvement`` (6,), its sums in the units of ``IMPROVEMENT_COLUMNS``, with ``improvement_sd`` (6,) and
        ``improvement_rho`` (1,); for each guardrail the arrays of ``release_centred``. With ``sigma`` None no noise is added.
    """
    whole = sum(TRIAL_SHARES[metric] for metric in ("improvement", *clips))
    scales = np.array(list(IMPROVEMENT_COLUMNS.values()))
    share = TRIAL_SHARES["improvement"] / whole
    block = noisy_sum(improvement_rows(spec, rows, centre) * scales, clip=IMPROVEMENT_CLIP, sigma=sigma, share=share)
    units = np.array([{"value": _UNIT, "square": _UNIT**2}.get(name, 1.0) for name in IMPROVEMENT_COLUMNS]) / scales
    out = {
        "improvement": block.values * units,
        "improvement_sd": block.sd * units,
        "improvement_rho": np.array([block.rho]),
    }
    for metric, values in guardrail_values(spec, rows).items():
        out |= release_centred(metric, values, clips[metric], sigma=sigma, share=TRIAL_SHARES[metric] / whole)
    return out


def improvement_rows(spec: LoopSpec, rows: TrialRows, centre: float) -> Floats:
    """Return each person's vector (U, 6) with entries in [-1, 1], in the order of ``IMPROVEMENT_COLUMNS``.

    ``hidden_loss``, ``hidden_gain``: how far beyond the clip a person speaks against the candidate or for it, in clips, at
    most 1.
    """
    sign = np.where(rows.candidate, 1.0, -1.0)
    signed = sign * (_person_means(rows, rows.reward)[0] / spec.reward.scale - centre) / TRIAL_CLIP
    value = np.clip(signed, -1.0, 1.0)
    loss, gain = np.clip(-signed - 1.0, 0.0, 1.0), np.clip(signed - 1.0, 0.0, 1.0)
    return np.column_stack([value, value**2, np.ones(rows.users), sign, loss, gain])


def guardrail_values(spec: LoopSpec, rows: TrialRows) -> dict[str, PersonValues]:
    """Return each guardrail's centred number and weight of every person (U,): means over decisions, 0 in the reference's arm."""
    rated = np.isfinite(rows.empathy)
    deficit = np.where(rated, 1.0 - np.clip(np.nan_to_num(rows.empathy), 0.0, 1.0), 0.0)
    harmful, answered = harm_and_answers(spec, rows.harmful)
    silent = rows.harmful < 0
    counted = {
        "false_intervention": (harmful, answered),
        "silence": (silent, np.ones(len(silent), bool)),
        "empathy_deficit": (deficit, rated),
    }
    return {metric: _share(rows, *counted[metric], _BARS[metric]) for metric in guardrails(spec)}


def _share(rows: TrialRows, bad: Floats | Bools, counts: Bools, bar: float) -> PersonValues:
    seen = rows.intervened & counts & rows.candidate[rows.person]
    bad_mean, seen_mean = _person_means(rows, np.where(seen, bad, 0.0), seen.astype(float))
    return PersonValues(bad_mean - bar * seen_mean, seen_mean)


def _person_means(rows: TrialRows, *columns: Floats) -> Floats:
    """Return each person's mean over their decisions, one row (U,) a column."""
    counts = np.maximum(np.bincount(rows.person, minlength=rows.users), 1)
    return person_sums(rows.person, np.column_stack(columns), rows.users).T / counts
