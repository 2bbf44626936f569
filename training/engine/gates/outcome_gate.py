"""Run the outcome gate: test a candidate on noisy centred sums of people's outcomes.

Every measured metric must pass, each at its own level. This is an intersection-union test, so nothing is corrected between
metrics. Re-use of the same people is corrected (``attempt_alpha``). The verdict is pass, fail, or insufficient evidence with
about how many people a decision needs. Synthetic rows never enter. Rewards are tested in reward scales and shown in the loop's
units.

By default everybody trains and judges. Candidates are chosen on the outcomes that judge them, which overstates their
improvement. It is therefore reduced by a public allowance, simulated on populations without any effect
(``training.engine.gates.optimism``). A pass says: screened on those who trained, less that allowance. Outcomes that come after
the deployment confirm it or take it back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from loops.engine.reward import largest_total
from loops.engine.spec import LoopSpec
from loops.engine.thresholds import (
    EMPATHY_BAR,
    FALSE_INTERVENTION_BAR,
    SILENT_HARM_RATIO,
    smallest_effect,
    stability_margin,
)
from privacy.engine.evaluation.centred_sums import CentredSums, read_centred
from privacy.engine.evaluation.statistics import DEFICIT_BAR, measured_metrics, sub_metric
from training.engine.gates.decision_rule import (
    FALSE_PASS_ALPHA,
    Verdict,
    VerdictWord,
    attempt_alpha,
    equivalence,
    futility_bound,
    verdict,
)
from training.engine.intervals.centred import mean_interval, people_needed_for, relative_interval, share_interval
from training.engine.intervals.clustered import Interval

SUPPORT_OFF = 0.1  # a log may do an action this much more or less often than declared
SUPPORT_LEAST = 0.5  # of the weight that the log must at least have where candidate and rival differ
_MORE_SILENT = 0.02  # excess of unanswered interventions that is worth mentioning


@dataclass(frozen=True)
class Judgement:
    """Hold one metric with its interval, bar and verdict, in display units."""

    name: str
    value: float
    low: float
    high: float
    bar: float
    users: float | None
    verdict: VerdictWord
    reason: str
    needed_users: float | None


@dataclass(frozen=True)
class GateResult:
    """Hold the verdict over all metrics and its reason.

    ``needed_users``: about how many people a decision needs, if the evidence is insufficient.
    """

    verdict: VerdictWord
    reason: str
    judgements: tuple[Judgement, ...]
    needed_users: float | None


@dataclass(frozen=True)
class GateTerms:
    """Hold the terms of a test besides its sums. Rewards are in reward scales. ``attempt`` counts from 1.

    ``conceded``: how far the deployed versions since the last proven improvement may lie below it. It is taken from the margin,
    so that the margin is spent once. ``allowance``: mean and sd of the improvement's optimism, (0, 0) if other people trained.
    """

    spec: LoopSpec
    rival_value: float
    attempt: int = 1
    incumbent: bool = False  # whether the rival is the incumbent and not the reference
    heads: int = 1  # candidates tested on the same people at once
    conceded: float = 0.0
    allowance: tuple[float, float] = (0.0, 0.0)

    @property
    def level(self) -> float:
        """Return the two-sided level. Each tail is the attempt's alpha divided by the number of heads tested."""
        return 1 - 2 * attempt_alpha(self.attempt, self.heads)

    @property
    def effect(self) -> float:
        """Return the smallest effect worth finding, in reward scales."""
        return smallest_effect(self.spec)

    @property
    def margin(self) -> float:
        """Return by how much a candidate may be worse than the incumbent, in reward scales."""
        return max(self.effect - self.conceded, 0.0)

    @property
    def reach(self) -> float:
        """Return how far beyond its clip a person's reward may lie, in reward scales: the largest total."""
        return largest_total(self.spec) / self.spec.reward.scale

    @property
    def stability_margin(self) -> float:
        """Return the tolerated drift of the reward, in reward scales."""
        return stability_margin(self.spec) / self.spec.reward.scale


def outcome_gate(terms: GateTerms, stored: Mapping[str, np.ndarray], latency: Judgement | None = None) -> GateResult:
    """Test every metric that the loop's data can measure, and include the measured latency if it is given."""
    tests = {
        "improvement": _improvement,
        "support": _support,
        "empathy_deficit": _empathy,
        "false_intervention": _false_intervention,
        "silence": _silence,
        "stability": _stability,
    }
    judgements = [tests[m](terms, stored) for m in measured_metrics(terms.spec) if m in tests]
    return combine_verdicts([*judgements, latency] if latency is not None else judgements)


def combine_verdicts(judgements: list[Judgement]) -> GateResult:
    """Combine verdicts: the worst one wins, except that no estimate counts where the log lacks support.

    The number of people is the largest known one of the undecided metrics.
    """
    unsupported = [j for j in judgements if j.name == "support" and j.verdict != "pass"]
    for answer in ("insufficient",) if unsupported else ("fail", "insufficient"):
        worst = unsupported or [j for j in judgements if j.verdict == answer]
        if worst:
            needed = [j.needed_users for j in worst if j.needed_users is not None]
            reason = " ".join(j.reason for j in worst)
            return GateResult(
                worst[0].verdict, reason, tuple(judgements), max(needed, default=None) if answer != "fail" else None
            )
    return GateResult("pass", "Every metric passed.", tuple(judgements), None)


def sub_gate(terms: GateTerms, stored: Mapping[str, np.ndarray], head: str) -> GateResult:
    """Test one sub-head by its paired difference over the decisions in which it acted.

    Its effects are small, so it must only be not worse. Its model gate must show that it is better.
    """
    name = sub_metric(head)
    sums = read_centred(stored, name)
    return combine_verdicts(
        [_not_worse(terms, name, sums, f"the effect of {head} on the immediate reward (in reward scales)")]
    )


def _improvement(terms: GateTerms, stored: Mapping[str, np.ndarray]) -> Judgement:
    """Require a candidate to be better than the reference.

    Over an incumbent, which was better before, it must seem better and be proven not worse than what is left of the margin.
    """
    sums = read_centred(stored, "improvement")
    if terms.incumbent:
        return _not_worse(terms, "improvement", sums, "the immediate difference from the incumbent (in reward scales)")
    interval, against = _gain_intervals(terms, sums)
    result = verdict(
        interval,
        0.0,
        "above",
        fail_interval=against,
        futility=futility_bound(terms.rival_value),
        needed=_needed_for_effect(terms, sums),
        name="the immediate improvement over the reference (in reward scales)",
    )
    return _rewards(terms, "improvement", interval, 0.0, result)


def _gain_intervals(terms: GateTerms, sums: CentredSums) -> tuple[Interval, Interval]:
    """Return the intervals of a reward difference for passing and for failing, less the allowance for optimism."""
    shift, shift_sd = terms.allowance
    pass_interval, fail_interval = (
        mean_interval(sums, level=level, reach=terms.reach, shift=shift, shift_sd=shift_sd)
        for level in (terms.level, 1 - 2 * FALSE_PASS_ALPHA)
    )
    return pass_interval, fail_interval


def _needed_for_effect(terms: GateTerms, sums: CentredSums) -> float:
    return people_needed_for(sums, terms.effect, level=(1 + terms.level) / 2, shift_sd=terms.allowance[1])


def _not_worse(terms: GateTerms, name: str, sums: CentredSums, description: str) -> Judgement:
    interval, against = _gain_intervals(terms, sums)
    needed = _needed_for_effect(terms, sums)
    result = verdict(interval, -terms.margin, "at_least", fail_interval=against, needed=needed, name=description)
    if result.answer == "pass" and interval.estimate < 0:
        reason = f"{description} is {interval.estimate:.4g}, so the candidate seems no better"
        result = Verdict("insufficient", f"{reason}. A decision needs about {needed:,.0f} people.", needed)
    return _rewards(terms, name, interval, -terms.margin, result)


def _support(terms: GateTerms, stored: Mapping[str, np.ndarray]) -> Judgement:
    """Test whether the log did, as often as declared, what candidate and rival would do where they differ. 1 is as declared."""
    sums = read_centred(stored, "support")
    interval = _plus_one(relative_interval(sums, level=1 - 2 * FALSE_PASS_ALPHA))
    off = interval.high < 1 - SUPPORT_OFF or interval.low > 1 + SUPPORT_OFF
    if not math.isfinite(interval.high):
        reason = "Too few logged decisions differ between candidate and rival to tell whether the log tried what it would do."
        return _judgement("support", interval, SUPPORT_LEAST, Verdict("insufficient", reason), 1.0)
    text = f"what candidate and rival would do is {interval.estimate:.2f} of what the log declares"
    span = f"90% interval {max(interval.low, 0.0):.2f} to {interval.high:.2f}"
    if not off and interval.low >= SUPPORT_LEAST:
        return _judgement("support", interval, SUPPORT_LEAST, Verdict("pass", f"{text} ({span})."), 1.0)
    why = (
        "The logged propensities are wrong"
        if interval.low > 1 + SUPPORT_OFF
        else "The log hardly tried what this would do"
    )
    return _judgement("support", interval, SUPPORT_LEAST, Verdict("insufficient", f"{why}: {text} ({span})."), 1.0)


def _plus_one(interval: Interval) -> Interval:
    return replace(interval, estimate=1 + interval.estimate, low=1 + interval.low, high=1 + interval.high)


def _stability(terms: GateTerms, stored: Mapping[str, np.ndarray]) -> Judgement:
    sums = read_centred(stored, "stability")
    interval = mean_interval(sums, level=1 - 2 * FALSE_PASS_ALPHA)
    needed = people_needed_for(sums, terms.stability_margin, level=1 - FALSE_PASS_ALPHA)
    result = equivalence(
        interval, terms.stability_margin, needed=needed, name="the drift of the reward (in reward scales)"
    )
    return _rewards(terms, "stability", interval, terms.stability_margin, result)


def _empathy(terms: GateTerms, stored: Mapping[str, np.ndarray]) -> Judgement:
    """Test empathy. It is released as its complement, which is smaller and so measured better, and is reported as empathy."""
    sums = read_centred(stored, "empathy_deficit")
    interval, against = (
        _complement(share_interval(sums, DEFICIT_BAR, level=x)) for x in (terms.level, 1 - 2 * FALSE_PASS_ALPHA)
    )
    needed = _needed_below(terms, sums, DEFICIT_BAR, DEFICIT_BAR)
    result = verdict(
        interval, EMPATHY_BAR, "at_least", fail_interval=against, needed=needed, name="empathy over interventions"
    )
    return _judgement("empathy", interval, EMPATHY_BAR, result, 1.0)


def _needed_below(terms: GateTerms, sums: CentredSums, centre: float, bar: float) -> float:
    """Return about how many people would show that a share is below its bar, if its estimate did not change."""
    weight = max(sums.weight, sums.sd_weight, 1e-9)
    return people_needed_for(sums, bar - centre - sums.value / weight, level=(1 + terms.level) / 2, power=0.5)


def _complement(interval: Interval) -> Interval:
    return replace(interval, estimate=1 - interval.estimate, low=1 - interval.high, high=1 - interval.low)


def _false_intervention(terms: GateTerms, stored: Mapping[str, np.ndarray]) -> Judgement:
    """Test the share of false interventions among those that were answered.

    Where silence may hide harm, people who did not answer are taken to be harmed ``SILENT_HARM_RATIO`` times as often as those
    who did. The bar is lower by that, and the interval wider by what is not known about their number.
    """
    sums, (silent, se_silent) = read_centred(stored, "false_intervention"), _silent_share(terms, stored)
    more = 1 + (SILENT_HARM_RATIO - 1) * silent
    bar, unsure = FALSE_INTERVENTION_BAR / more, (SILENT_HARM_RATIO - 1) * se_silent / more
    interval, against = (
        _widened(share_interval(sums, FALSE_INTERVENTION_BAR, level=x), unsure)
        for x in (terms.level, 1 - 2 * FALSE_PASS_ALPHA)
    )
    needed = _needed_below(terms, sums, FALSE_INTERVENTION_BAR, bar)
    name = "the share of false interventions"
    result = verdict(interval, bar, "at_most", fail_interval=against, needed=needed, name=name)
    if result.answer == "fail" and against.low <= FALSE_INTERVENTION_BAR:
        reason = f"{result.reason} Too many interventions were not answered to tell."
        result = Verdict("insufficient", reason, None)
    return _judgement("false_intervention", interval, bar, result, 1.0)


def _widened(interval: Interval, relative_se: float) -> Interval:
    """Widen a share's interval by a relative error that is independent of its own."""
    further = NormalDist().inv_cdf((1 + interval.level) / 2) * relative_se * interval.estimate
    low, high = (math.hypot(interval.estimate - end, further) for end in (interval.low, interval.high))
    return replace(interval, low=max(interval.estimate - low, 0.0), high=min(interval.estimate + high, 1.0))


def _silent_share(terms: GateTerms, stored: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Return the share of the candidate's interventions without an answer and its standard error.

    It is (0, 0) if the loop says what silence means, and (1, 0) if too little is known.
    """
    if terms.spec.reward.silence != "unknown":
        return 0.0, 0.0
    interval = share_interval(read_centred(stored, "silence"), 0.0, score=False)
    return (interval.estimate, interval.se) if math.isfinite(interval.se) else (1.0, 0.0)


def _silence(terms: GateTerms, stored: Mapping[str, np.ndarray]) -> Judgement:
    """Test whether the candidate's interventions go unanswered more often than the logged ones, which would hide harm."""
    ours, logged = (
        share_interval(read_centred(stored, name), 0.0, level=1 - 2 * FALSE_PASS_ALPHA, score=False)
        for name in ("silence", "silence_logged")
    )
    excess, se = ours.estimate - logged.estimate, math.hypot(ours.se, logged.se)
    if not math.isfinite(se):
        reason = "Too few interventions are known to tell how many were not answered."
        return _judgement("silence", ours, logged.estimate, Verdict("insufficient", reason), 1.0)
    most = max(NormalDist().inv_cdf(1 - FALSE_PASS_ALPHA) * se, _MORE_SILENT)
    text = f"{ours.estimate:.0%} of the candidate's interventions were not answered, against {logged.estimate:.0%} of the logged"
    bar = min(logged.estimate + most, 1.0)
    if excess > most:
        return _judgement("silence", ours, bar, Verdict("insufficient", f"{text}. Silence may hide harm."), 1.0)
    return _judgement("silence", ours, bar, Verdict("pass", f"{text}."), 1.0)


def _rewards(terms: GateTerms, name: str, interval: Interval, bar: float, result: Verdict) -> Judgement:
    return _judgement(name, interval, bar, result, terms.spec.reward.scale)


def _judgement(name: str, interval: Interval, bar: float, result: Verdict, scale: float) -> Judgement:
    return Judgement(
        name,
        interval.estimate * scale,
        interval.low * scale,
        interval.high * scale,
        bar * scale,
        interval.users,
        result.answer,
        result.reason[:1].upper() + result.reason[1:],
        result.users_needed,
    )
