"""Judge the shares of an evaluation: support by the log, empathy, false interventions, and interventions without an answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from loops.engine.thresholds import EMPATHY_BAR, FALSE_INTERVENTION_BAR, SILENT_HARM_RATIO
from privacy.engine.evaluation.centred_sums import CentredSums, read_centred
from privacy.engine.evaluation.statistics import DEFICIT_BAR
from training.engine.gates.decision_rule import FALSE_PASS_ALPHA, Verdict, verdict
from training.engine.gates.gate_terms import GateTerms
from training.engine.gates.judgements import Judgement, judgement_of
from training.engine.intervals.centred import people_needed_for, relative_interval, share_interval
from training.engine.intervals.clustered import Interval

SUPPORT_OFF = 0.1  # a log may do an action this much more or less often than declared
SUPPORT_LEAST = 0.5  # of the weight that the log must at least have where candidate and rival differ
_MORE_SILENT = 0.02  # excess of unanswered interventions that is worth mentioning


def judge_support(terms: GateTerms, stored: Mapping[str, np.ndarray]) -> Judgement:
    """Test whether the log did, as often as declared, what candidate and rival would do where they differ. 1 is as declared."""
    sums = read_centred(stored, "support")
    interval = _plus_one(relative_interval(sums, level=1 - 2 * FALSE_PASS_ALPHA))
    off = interval.high < 1 - SUPPORT_OFF or interval.low > 1 + SUPPORT_OFF
    if not math.isfinite(interval.high):
        reason = "Too few logged decisions differ between candidate and rival to tell whether the log tried what it would do."
        return judgement_of("support", interval, SUPPORT_LEAST, Verdict("insufficient", reason))
    text = f"what candidate and rival would do is {interval.estimate:.2f} of what the log declares"
    span = f"90% interval {max(interval.low, 0.0):.2f} to {interval.high:.2f}"
    if not off and interval.low >= SUPPORT_LEAST:
        return judgement_of("support", interval, SUPPORT_LEAST, Verdict("pass", f"{text} ({span})."))
    why = (
        "The logged propensities are wrong"
        if interval.low > 1 + SUPPORT_OFF
        else "The log hardly tried what this would do"
    )
    return judgement_of("support", interval, SUPPORT_LEAST, Verdict("insufficient", f"{why}: {text} ({span})."))


def _plus_one(interval: Interval) -> Interval:
    return replace(interval, estimate=1 + interval.estimate, low=1 + interval.low, high=1 + interval.high)


def judge_empathy(terms: GateTerms, stored: Mapping[str, np.ndarray]) -> Judgement:
    """Test empathy. It is released as its complement, which is smaller and so measured better, and is reported as empathy."""
    sums = read_centred(stored, "empathy_deficit")
    interval, against = (
        _complement(share_interval(sums, DEFICIT_BAR, level=x)) for x in (terms.level, 1 - 2 * FALSE_PASS_ALPHA)
    )
    needed = _needed_below(terms, sums, DEFICIT_BAR, DEFICIT_BAR)
    result = verdict(
        interval, EMPATHY_BAR, "at_least", fail_interval=against, needed=needed, name="empathy over interventions"
    )
    return judgement_of("empathy", interval, EMPATHY_BAR, result)


def _needed_below(terms: GateTerms, sums: CentredSums, centre: float, bar: float) -> float:
    """Return about how many people would show that a share is below its bar, if its estimate did not change."""
    weight = max(sums.weight, sums.sd_weight, 1e-9)
    return people_needed_for(sums, bar - centre - sums.value / weight, level=(1 + terms.level) / 2, power=0.5)


def _complement(interval: Interval) -> Interval:
    return replace(interval, estimate=1 - interval.estimate, low=1 - interval.high, high=1 - interval.low)


def judge_false_intervention(terms: GateTerms, stored: Mapping[str, np.ndarray]) -> Judgement:
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
    return judgement_of("false_intervention", interval, bar, result)


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


def judge_silence(terms: GateTerms, stored: Mapping[str, np.ndarray]) -> Judgement:
    """Test whether the candidate's interventions go unanswered more often than the logged ones, which would hide harm."""
    ours, logged = (
        share_interval(read_centred(stored, name), 0.0, level=1 - 2 * FALSE_PASS_ALPHA, score=False)
        for name in ("silence", "silence_logged")
    )
    excess, se = ours.estimate - logged.estimate, math.hypot(ours.se, logged.se)
    if not math.isfinite(se):
        reason = "Too few interventions are known to tell how many were not answered."
        return judgement_of("silence", ours, logged.estimate, Verdict("insufficient", reason))
    most = max(NormalDist().inv_cdf(1 - FALSE_PASS_ALPHA) * se, _MORE_SILENT)
    text = f"{ours.estimate:.0%} of the candidate's interventions were not answered, against {logged.estimate:.0%} of the logged"
    bar = min(logged.estimate + most, 1.0)
    if excess > most:
        return judgement_of("silence", ours, bar, Verdict("insufficient", f"{text}. Silence may hide harm."))
    return judgement_of("silence", ours, bar, Verdict("pass", f"{text}."))
