"""Judge the guardrails of a trial, joined with the sums of the evaluation that led to it.

A guardrail is a share of the candidate's interventions, centred at its bar. The test asks one sum: S - (bar' - bar) W, where W is
the sum of weights and bar' is the bar that silence lowers. Its variance is that of S, plus the noise of W and of the silent share
at their distance. So the noise of a divisor does not enter twice (Fieller 1954).

Every guardrail is tested at .05 in the first look, and at half of the level before in each further look. All of them and the
improvement must pass at once (an intersection-union test).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from loops.engine.spec import LoopSpec
from loops.engine.thresholds import EMPATHY_BAR, FALSE_INTERVENTION_BAR, SILENT_HARM_RATIO
from privacy.engine.evaluation.centred_sums import CentredSums, read_centred
from privacy.engine.evaluation.on_policy import guardrails
from privacy.engine.evaluation.statistics import DEFICIT_BAR
from training.engine.gates.decision_rule import FALSE_PASS_ALPHA, VerdictWord
from training.engine.gates.judgements import Judgement
from training.engine.intervals.clustered import MIN_ESS

_COUNT_Z = 2.0  # sd of the noise on a number of people beyond a clip, above which they are proven
SQUARE_MARGIN = 0.5  # a variance is raised by this many sd of its noise
_LEAST_SD = 1.0  # a sum of weights below this many sd of its noise says too little; a test hardly depends on it
_JOINED_SD = 3.0  # a sum of weights below this many sd of its noise is not joined
_CANDIDATES = 0.5  # of the people of an evaluation, who had the candidate in the trial


def guardrail_judgements(
    spec: LoopSpec, trial: Mapping[str, np.ndarray], earlier: Mapping[str, np.ndarray] | None, look: int = 1
) -> list[Judgement]:
    """Judge false interventions and empathy by a trial's sums, and by those of an earlier evaluation where there is one.

    Args: look: 1, 2, ...: the number of this release within the trial.
    """
    found, z = guardrails(spec), NormalDist().inv_cdf(1 - FALSE_PASS_ALPHA * 0.5 ** (look - 1))
    sums = {metric: joined_sums(metric, trial, earlier or {}) for metric in found}
    out = []
    if "empathy_deficit" in sums:
        out.append(_empathy(sums["empathy_deficit"], z))
    if "false_intervention" in sums:
        out.append(_false_interventions(sums["false_intervention"], sums.get("silence"), z))
    return out


def joined_sums(metric: str, trial: Mapping[str, np.ndarray], earlier: Mapping[str, np.ndarray]) -> CentredSums:
    """Return a guardrail's sums of the trial, plus those of an evaluation times the ratio of the estimates' inverse variances.

    The noise of the two releases is independent. People are partly the same, and who dismisses much does so in both. The square
    therefore holds the largest covariance that half of the evaluation's people allow.
    """
    ours = read_centred(trial, metric)
    if metric not in earlier:
        return ours
    other = read_centred(earlier, metric)
    if not (_known(ours, _JOINED_SD) and _known(other, _JOINED_SD)):
        return ours
    factor = ours.weight / other.weight * _relative_variance(ours) / _relative_variance(other)
    weight_clip = max(ours.clips.weight, factor * other.clips.weight)
    # A person beyond either clip reaches as far as that clip's weight.
    beyond, further = ours.clips.weight / weight_clip, factor * other.clips.weight / weight_clip
    together = 2 * factor * math.sqrt(max(ours.square, 0.0) * max(other.square, 0.0) * _CANDIDATES)
    return CentredSums(
        kind=ours.kind,
        value=ours.value + factor * other.value,
        square=ours.square + factor**2 * other.square + together,
        below=beyond * ours.below + further * other.below,
        above=beyond * ours.above + further * other.above,
        people=ours.people,
        weight=ours.weight + factor * other.weight,
        sd_value=math.hypot(ours.sd_value, factor * other.sd_value),
        sd_square=math.hypot(ours.sd_square, factor**2 * other.sd_square),
        sd_beyond=math.hypot(beyond * ours.sd_beyond, further * other.sd_beyond),
        sd_people=ours.sd_people,
        sd_weight=math.hypot(ours.sd_weight, factor * other.sd_weight),
        clips=type(ours.clips)(max(ours.clips.value, factor * other.clips.value), weight_clip),
    )


def _known(sums: CentredSums, sd: float = _LEAST_SD) -> bool:
    return sums.weight > 0 and sums.weight > sd * sums.sd_weight and sums.people - 2 * sums.sd_people > MIN_ESS


def _relative_variance(sums: CentredSums) -> float:
    """Return the variance of the estimated share, tiny at least."""
    return (max(sums.square, 0.0) + sums.sd_value**2 + 1e-12) / sums.weight**2


def _share_bounds(sums: CentredSums, centre: float, bar: float, unsure: float, z: float) -> tuple[float, float]:
    """Return the interval of a share whose upper end is at most ``bar`` exactly if the test at ``bar`` passes.

    Args: centre: the bar that was subtracted in each person's number. unsure: sd of ``bar``.
    """
    value = sums.value - (bar - centre) * sums.weight
    variance = max(sums.square, 0.0) + SQUARE_MARGIN * sums.sd_square + sums.sd_value**2
    variance += ((bar - centre) * sums.sd_weight) ** 2 + (unsure * sums.weight) ** 2
    reach_low, reach_high = bar * sums.clips.weight, (1 - bar) * sums.clips.weight
    low = value - _distance(sums, sums.below, reach_low, variance, z)
    high = value + _distance(sums, sums.above, reach_high, variance, z)
    shown = _share(sums, centre)
    return min(max(bar + low / sums.weight, 0.0), shown), max(min(bar + high / sums.weight, 1.0), min(shown, bar))


def _distance(sums: CentredSums, beyond: float, reach: float, variance: float, z: float) -> float:
    """Return how far a bound lies from the sum: its standard error, and what people beyond the clip may add.

    Where their number is within its noise they count as the clip, and its noise adds to the variance. Proven ones count as far
    as a person can reach.
    """
    clip, proven = min(sums.clips.value, reach), beyond > _COUNT_Z * sums.sd_beyond
    return z * math.hypot(math.sqrt(variance), clip * sums.sd_beyond) + (reach if proven else clip) * max(beyond, 0.0)


def _share(sums: CentredSums, centre: float) -> float:
    """Return the share, with people beyond the clip at its end."""
    return min(max(centre + sums.clipped_value / sums.weight, 0.0), 1.0)


def _empathy(sums: CentredSums, z: float) -> Judgement:
    """Judge empathy by its complement."""
    if not _known(sums):
        return _unknown("empathy", EMPATHY_BAR)
    below, above = _share_bounds(sums, DEFICIT_BAR, DEFICIT_BAR, 0.0, z)
    low, high, value = 1 - above, 1 - below, 1 - _share(sums, DEFICIT_BAR)
    answer: VerdictWord = "pass" if low >= EMPATHY_BAR else "fail" if high < EMPATHY_BAR else "insufficient"
    return _judgement("empathy", value, low, high, EMPATHY_BAR, sums, answer)


def _false_interventions(sums: CentredSums, silence: CentredSums | None, z: float) -> Judgement:
    """Judge false interventions among those that were answered.

    Where silence may hide harm, the bar is lower: those who did not answer are taken to be harmed ``SILENT_HARM_RATIO`` times as
    often. A fail is proven at the bar itself.
    """
    if not _known(sums):
        return _unknown("false_intervention", FALSE_INTERVENTION_BAR)
    bar, unsure = _bar_after_silence(silence)
    low, high = _share_bounds(sums, FALSE_INTERVENTION_BAR, bar, unsure, z)
    low_at_bar, _ = _share_bounds(sums, FALSE_INTERVENTION_BAR, FALSE_INTERVENTION_BAR, 0.0, z)
    answer: VerdictWord = "pass" if high <= bar else "fail" if low_at_bar > FALSE_INTERVENTION_BAR else "insufficient"
    judged = _judgement("false_intervention", _share(sums, FALSE_INTERVENTION_BAR), low, high, bar, sums, answer)
    hidden = _COUNT_Z * sums.sd_beyond
    if hidden < 1 or sums.above > hidden:
        return judged
    return replace(
        judged,
        reason=f"{judged.reason} Up to about {hidden:.0f} people who dismiss nearly all would count in part only.",
    )


def _bar_after_silence(silence: CentredSums | None) -> tuple[float, float]:
    """Return the bar of false interventions among answered ones, and its sd. Nothing known: everybody may be silent."""
    if silence is None:
        return FALSE_INTERVENTION_BAR, 0.0
    if not _known(silence):
        return FALSE_INTERVENTION_BAR / SILENT_HARM_RATIO, 0.0
    se = math.sqrt(_relative_variance(silence)) if silence.sd_value else 0.0
    more = 1 + (SILENT_HARM_RATIO - 1) * _share(silence, 0.0)
    return FALSE_INTERVENTION_BAR / more, FALSE_INTERVENTION_BAR * (SILENT_HARM_RATIO - 1) * se / more**2


def _unknown(name: str, bar: float) -> Judgement:
    reason = f"Too few interventions of the trial are known to judge {_TEXTS[name]}."
    return Judgement(name, math.nan, 0.0, 1.0, bar, None, "insufficient", reason, None)


_TEXTS = {"empathy": "empathy over interventions", "false_intervention": "the share of false interventions"}
_ENDS: dict[VerdictWord, str] = {
    "pass": "meets", "fail": "is proven beyond", "insufficient": "is not proven to meet",
}  # fmt: skip


def _judgement(
    name: str, value: float, low: float, high: float, bar: float, sums: CentredSums, answer: VerdictWord
) -> Judgement:
    text = _TEXTS[name]
    reason = (
        f"{text[:1].upper()}{text[1:]} in the trial is {value:.4g} ({low:.4g} to {high:.4g}), "
        f"which {_ENDS[answer]} the bar of {bar:.4g}."
    )
    return Judgement(name, value, low, high, bar, max(sums.people, 0.0), answer, reason, None)
