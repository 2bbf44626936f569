"""Judge a trial by noised sums with one on-policy number a person: half of the people had the candidate, half the reference.

Arms are drawn by person, 50:50, so no decision needs an importance weight. Let y be the person's mean reward, x their mean over
k decisions that closed before the trial began, and b = k / (k + 12), or 0 without any. Then a = (y - m) - b (x - m) varies
far less over people than y (Deng et al. 2013, CUPED): what a person always earns drops out. With s = +1 in the candidate's
arm, -1 in the reference's, v = 2 s (a - c) has the mean difference of the arms as its mean (Horvitz and Thompson 1952), for
any centre c, because nothing in x or b can depend on the arm.

Three blocks are released one after the other, and later ones use what earlier ones released:

1. ``level``: the mean of a over people with a past, and over people without. They are the centres c.
2. ``spread``: how many people lie beyond the narrow clip around their centre, how many days were missed, and how many rewards
   are missing. Many beyond the clip choose the wide one, and many beyond that the far one.
3. ``improvement``: the sums of v inside the clip. A person beyond the clip adds nothing to them. They count in
   ``against`` if they speak against the candidate, and in ``favour`` if for it. Gains of many cannot cancel the losses
   of a few. A row is in one of the three places only, so the counts cost no sensitivity.

Somebody whom both the log and the candidate hurt badly looks usual beside their own past. A person inside the clip whose mean
reward lies ``LOST_BADLY`` below the usual one therefore counts in ``against`` too: +1 in the candidate's arm and -1 in the
reference's, so that people who are always low cancel.

The guardrails are read in the candidate's arm only, centred at their bars (``privacy.engine.evaluation.centred_sums``):

- ``false_intervention``: harmful among answered interventions;
- ``silence``: interventions without an answer, where the loop does not say what silence means;
- ``empathy_deficit``: 1 - empathy over rated interventions.

Their clips follow the candidate's released intervention rate. Whether people keep coming, and whether their rewards do, are
blocks of their own (``privacy.engine.evaluation.arm_differences``). Unit: user; neighbouring relation: add or remove one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import Bools, Floats, Ints
from loops.engine.spec import LoopSpec
from loops.engine.thresholds import FALSE_INTERVENTION_BAR
from privacy.engine.dp.mechanisms import noisy_sum
from privacy.engine.evaluation.arm_differences import difference_centre, release_difference
from privacy.engine.evaluation.centred_sums import PersonValues, ValueClips, release_centred
from privacy.engine.evaluation.statistics import DEFICIT_BAR, harm_and_answers, measured_metrics
from privacy.engine.moments.rows import person_sums

TRIAL_SHARES = {
    "level": 0.01, "spread": 0.04, "improvement": 0.47, "retention": 0.10, "reports": 0.04,
    "false_intervention": 0.22, "empathy_deficit": 0.03, "silence": 0.09,
}  # fmt: skip
_DIFFERENCES = ("retention", "reports")
_COMMON_BLOCKS = ("level", "spread", "improvement", *_DIFFERENCES)
_BARS = {"false_intervention": FALSE_INTERVENTION_BAR, "empathy_deficit": DEFICIT_BAR, "silence": 0.0}
NARROW_CLIP, WIDE_CLIP, FAR_CLIP = 0.6, 1.25, 2.5  # reward scales around the centre
LOST_BADLY = 2.5  # reward scales below the usual mean reward
MOST_BEYOND_NARROW = 0.04  # of the people, up to which the narrow clip is used
MOST_BEYOND_WIDE, _FAR_SD = (
    0.04,
    2.0,
)  # of the people, and sd of its noise, which must both be exceeded for the far clip
_LEVEL_UNIT = 1.0  # reward scales; only the choice of centres depends on it
_PRIOR_DECISIONS = 12.0  # b = k / (k + 12)
_LEAST_RATE = 0.1  # of interventions a decision, so that a clip never vanishes
_WEIGHT_FACTOR = 1.1
_LEAST_SHARE = 0.5  # of the usual decisions, below which a person counts in proportion to their own
_VALUE_QUANTILE, _VALUE_FACTOR, _LEAST_CLIP, _NULL_PEOPLE = 0.99, 1.25, 1e-3, 20_000
# Columns of each block and their scales. What decides a verdict is measured most precisely.
LEVEL_COLUMNS = {"with_past": 1.0, "people_with": 0.3, "without": 1.0, "people_without": 0.3}
LEVEL_CLIP = float(np.hypot(1.0, 0.3))  # a person has a past or has none
SPREAD_COLUMNS = {"beyond": 1.0, "users": 0.3, "retention": 0.3, "reports": 0.3, "far": 0.5}
SPREAD_CLIP = float(np.linalg.norm(list(SPREAD_COLUMNS.values())))
IMPROVEMENT_COLUMNS = {"value": 1.0, "square": 0.3, "against": 1.0, "favour": 1.0, "users": 0.2, "arms": 0.25}
# The longest row is one inside the clip: it has value, square, users and arms.
IMPROVEMENT_CLIP = float(np.linalg.norm([IMPROVEMENT_COLUMNS[name] for name in ("value", "square", "users", "arms")]))


@dataclass(frozen=True)
class TrialRows:
    """n available decisions of U people in a trial, whose outcomes hold a reward or a label.

    U counts everybody with any decision in the trial. person (n,): numbers 0..U-1. candidate (U,): whether the person's arm is
    the candidate's. missed (U,): the share of the days in the last quarter of the trial on
    which the person has no decision at all. unreported (U,): the
    share of the person's closed available decisions without a reward. before (U,): mean reward of the person's ``before_count``
    (U,) decisions that closed before the trial, 0 without any. reward (n,) in the loop's units, as ``before``, NaN where a label
    came without one. intervened (n,). empathy (n,): NaN where not observed. harmful: 1, 0, or -1 without a label.
    """

    person: Ints
    candidate: Bools
    missed: Floats
    unreported: Floats
    before: Floats
    before_count: Ints
    reward: Floats
    intervened: Bools
    empathy: Floats
    harmful: Ints

    @property
    def users(self) -> int:
        return len(self.candidate)

    @property
    def rewarded(self) -> Bools:
        """Return who (U,) has a reward. The others count in the guardrails alone."""
        return np.bincount(self.person, np.isfinite(self.reward), minlength=self.users) > 0


@dataclass(frozen=True)
class _Block:
    """Hold the noised sums of a block (k,) with the noise sd of each, in the unit of its rows, and the rho spent."""

    values: Floats
    sd: Floats
    rho: float


def guardrails(spec: LoopSpec) -> tuple[str, ...]:
    """Return the guardrails that a loop's trial measures: those of its evaluation that need neither log nor reference."""
    return tuple(metric for metric in measured_metrics(spec) if metric in _BARS)


def guardrail_clips(
    spec: LoopSpec, *, intervention_rate: float, exploration: float, decisions: float
) -> dict[str, ValueClips]:
    """Return the public clips of each guardrail, from null users who are at its bar and live under the candidate.

    On the policy itself a weight is a count of interventions, so a person's weight hardly exceeds what the candidate's rate
    implies. A centred number is clipped at 1.25 times its .99 quantile in null users, as an evaluation does.

    Args:
        intervention_rate: the candidate's released share of decisions with an intervention.
        exploration: the share of decisions drawn from the logging distribution.
        decisions: of a person.
    """
    rate = max((1.0 - exploration) * intervention_rate + exploration * spec.main_head.logged_rate, _LEAST_RATE)
    weight = _WEIGHT_FACTOR * rate
    return {
        metric: ValueClips(_value_clip(metric, rate, weight, max(round(decisions), 1)), weight)
        for metric in guardrails(spec)
    }


def _value_clip(metric: str, rate: float, weight: float, decisions: int) -> float:
    """Return the clip of a guardrail's centred number: the largest possible, or less where null users are far below it."""
    bar = _BARS[metric]
    largest = (1.0 - bar) * weight
    if bar == 0:
        return largest
    rng = np.random.default_rng(0)
    seen = rng.binomial(decisions, rate, _NULL_PEOPLE)
    if metric == "empathy_deficit":  # uniform with its mean at the bar; a sum of many is normal
        excess = rng.normal(size=_NULL_PEOPLE) * bar * np.sqrt(seen / 3.0)
    else:
        excess = rng.binomial(seen, bar) - bar * seen
    usual = _VALUE_FACTOR * float(np.quantile(excess / decisions, _VALUE_QUANTILE))
    return float(np.clip(max(usual, bar * weight), _LEAST_CLIP, largest))  # nobody who is never harmed is beyond it


def release_trial(
    spec: LoopSpec,
    rows: TrialRows,
    *,
    centre: float,
    decisions: float,
    clips: Mapping[str, ValueClips],
    sigma: float | None,
) -> dict[str, np.ndarray]:
    """Compute the noised round of a trial's release.

    Args:
        centre: public mean reward (reward scales) that people's means are compared with.
        decisions: public, the usual number of a person's (``guardrail_values``).
        clips: of the guardrails (``guardrail_clips``).
    Returns: ``improvement`` (6,), its sums in the units of ``IMPROVEMENT_COLUMNS``, with ``improvement_sd`` (6,),
        ``improvement_rho`` (1,) and ``improvement_clip`` (1,), the clip of |a - c| that was chosen; ``centre`` (1,); ``level``
        (4,), ``spread`` (5,) with their ``_rho``; the arrays of ``release_difference``, and for each guardrail those of
        ``release_centred``. With ``sigma`` None no noise is added.
    """
    whole, seen = sum(TRIAL_SHARES[metric] for metric in (*_COMMON_BLOCKS, *clips)), rows.rewarded

    def block(name: str, rows: Floats, columns: Mapping[str, float], norm: float) -> _Block:
        scales = np.array(list(columns.values()))
        sums = noisy_sum(rows * scales * seen[:, None], clip=norm, sigma=sigma, share=TRIAL_SHARES[name] / whole)
        return _Block(sums.values / scales, sums.sd / scales, sums.rho)

    signs, past = np.where(rows.candidate, 1.0, -1.0), rows.before_count > 0
    adjusted = adjusted_rewards(spec, rows, centre)
    level = block("level", level_rows(adjusted, past), LEVEL_COLUMNS, LEVEL_CLIP)
    apart = adjusted - np.where(past, _level(level, 0), _level(level, 2))
    spread = block("spread", spread_rows(apart, rows.missed, rows.unreported), SPREAD_COLUMNS, SPREAD_CLIP)
    clip = _chosen_clip(spread)
    low = mean_rewards(spec, rows) < centre - LOST_BADLY
    sums = block("improvement", improvement_rows(signs, apart, clip, low), IMPROVEMENT_COLUMNS, IMPROVEMENT_CLIP)
    units = np.array([{"value": 2 * clip, "square": (2 * clip) ** 2}.get(name, 1.0) for name in IMPROVEMENT_COLUMNS])
    out = {
        "level": level.values, "level_rho": np.array([level.rho]),
        "spread": spread.values, "spread_rho": np.array([spread.rho]),
        "improvement": sums.values * units, "improvement_sd": sums.sd * units, "improvement_rho": np.array([sums.rho]),
        "improvement_clip": np.array([clip]), "centre": np.array([centre]),
    }  # fmt: skip
    centres = dict(zip(SPREAD_COLUMNS, spread.values.tolist(), strict=True))
    for name, lost in zip(_DIFFERENCES, (rows.missed, rows.unreported), strict=True):
        out |= release_difference(
            name, rows.candidate, lost, centre=difference_centre(centres[name], centres["users"]),
            sigma=sigma, rho_share=TRIAL_SHARES[name] / whole,
        )  # fmt: skip
    for metric, values in guardrail_values(spec, rows, decisions).items():
        out |= release_centred(metric, values, clips[metric], sigma=sigma, share=TRIAL_SHARES[metric] / whole)
    return out


def adjusted_rewards(spec: LoopSpec, rows: TrialRows, centre: float) -> Floats:
    """Return each person's mean reward less what their past foretells (U,), in reward scales around ``centre``."""
    weight = rows.before_count / (rows.before_count + _PRIOR_DECISIONS)
    during, before = mean_rewards(spec, rows), rows.before / spec.reward.scale
    return np.asarray((during - centre) - weight * (before - centre))


def mean_rewards(spec: LoopSpec, rows: TrialRows) -> Floats:
    """Return each person's mean reward in the trial (U,), in reward scales, 0 without one."""
    seen = np.isfinite(rows.reward).astype(np.float64)
    total = person_sums(rows.person, np.column_stack([np.nan_to_num(rows.reward) * seen, seen]), rows.users)
    return np.asarray(total[:, 0] / np.maximum(total[:, 1], 1.0) / spec.reward.scale)


def level_rows(adjusted: Floats, past: Bools) -> Floats:
    """Return each person's vector (U, 4) with entries in [-1, 1], in the order of ``LEVEL_COLUMNS``."""
    level = np.clip(adjusted / _LEVEL_UNIT, -1.0, 1.0)
    return np.column_stack([level * past, past, level * ~past, ~past]).astype(np.float64)


def spread_rows(apart: Floats, missed: Floats, unreported: Floats) -> Floats:
    """Return each person's vector (U, 5) with entries in [0, 1], in the order of ``SPREAD_COLUMNS``."""
    beyond, far = (np.abs(apart) > clip for clip in (NARROW_CLIP, WIDE_CLIP))
    return np.column_stack([beyond, np.ones(len(apart)), missed, unreported, far]).astype(np.float64)


def improvement_rows(signs: Floats, apart: Floats, clip: float, low: Bools) -> Floats:
    """Return each person's vector (U, 6) with entries in [-1, 1], in the order of ``IMPROVEMENT_COLUMNS``.

    Args: signs (U,): +1 in the candidate's arm, else -1. apart (U,): adjusted rewards less their centre, in reward scales.
    low (U,): whether the person's own mean reward is very low.
    """
    signed = signs * apart / clip
    against, favour = signed < -1.0, signed > 1.0
    lost = low & ~against & ~favour
    inside = np.where(against | favour | lost, 0.0, signed)
    return np.column_stack([inside, inside**2, against + lost * signs, favour, np.ones(len(signed)), signs])


def _level(level: _Block, column: int) -> float:
    """Return a noised mean, drawn to 0 where noise is large beside the number of people."""
    total, people = level.values[column], max(float(level.values[column + 1]), 0.0)
    sd = float(level.sd[column])
    return _LEVEL_UNIT * float(np.clip(total * people / (people**2 + sd**2), -1.0, 1.0)) if people > 0 else 0.0


def _chosen_clip(spread: _Block) -> float:
    beyond, people, *_, far = spread.values
    if beyond <= MOST_BEYOND_NARROW * max(people, 0.0):
        return NARROW_CLIP
    return FAR_CLIP if far > max(MOST_BEYOND_WIDE * people, _FAR_SD * float(spread.sd[-1])) else WIDE_CLIP


def guardrail_values(spec: LoopSpec, rows: TrialRows, decisions: float) -> dict[str, PersonValues]:
    """Return each guardrail's centred number and weight of every person (U,): means over decisions, 0 in the reference's arm.

    A guardrail is a share of interventions. Somebody with fewer than half of the usual ``decisions`` counts in proportion, so
    that a single dismissal of one who just came does not lie beyond the clip.
    """
    rated = np.isfinite(rows.empathy)
    deficit = 1.0 - np.clip(np.nan_to_num(rows.empathy), 0.0, 1.0)
    harmful, answered = harm_and_answers(spec, rows.harmful)
    silent = rows.harmful < 0
    counted: dict[str, tuple[Floats | Bools, Bools]] = {
        "false_intervention": (harmful, answered),
        "silence": (silent, np.ones(len(silent), bool)),
        "empathy_deficit": (deficit, rated),
    }
    least = _LEAST_SHARE * decisions
    return {metric: _share(rows, *counted[metric], _BARS[metric], least) for metric in guardrails(spec)}


def _share(rows: TrialRows, bad: Floats | Bools, counts: Bools, bar: float, least: float) -> PersonValues:
    seen = rows.intervened & counts & rows.candidate[rows.person]
    bad_mean, seen_mean = _person_means(rows, np.where(seen, bad, 0.0), seen.astype(float), least=least)
    return PersonValues(bad_mean - bar * seen_mean, seen_mean)


def _person_means(rows: TrialRows, *columns: Floats, least: float = 1.0) -> Floats:
    """Return each person's mean over their decisions, one row (U,) a column. The divisor is at ``least`` that."""
    counts = np.maximum(np.bincount(rows.person, minlength=rows.users), max(least, 1.0))
    return person_sums(rows.person, np.column_stack(columns), rows.users).T / counts
