"""Run the outcome gate: test a candidate on noisy centred sums of people's outcomes.

Every measured metric must pass, each at its own level. This is an intersection-union test, so nothing is corrected between
metrics. Re-use of the same people is corrected (``attempt_alpha``). The verdict is pass, fail, or insufficient evidence with
about how many people a decision needs. Synthetic rows never enter. Sums are in reward scales. Intervals, bars and reasons are in
the loop's units of reward.

By default everybody trains and judges. Candidates are chosen on the outcomes that judge them, which overstates their
improvement. It is therefore reduced by a public allowance, simulated on populations without any effect
(``training.engine.gates.optimism``). A pass says: screened on those who trained, less that allowance. Outcomes that come after
the deployment confirm it or take it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from privacy.engine.evaluation.centred_sums import CentredSums, read_centred
from privacy.engine.evaluation.statistics import measured_metrics, sub_metric
from training.engine.gates.decision_rule import FALSE_PASS_ALPHA, Verdict, equivalence, futility_bound, verdict
from training.engine.gates.gate_terms import GateTerms
from training.engine.gates.judgements import GateResult, Judgement, combine_verdicts, judgement_of
from training.engine.gates.share_gates import judge_empathy, judge_false_intervention, judge_silence, judge_support
from training.engine.intervals.centred import mean_interval, people_needed_for
from training.engine.intervals.clustered import Interval


def outcome_gate(terms: GateTerms, stored: Mapping[str, np.ndarray], latency: Judgement | None = None) -> GateResult:
    """Test every metric that the loop's data can measure, and include the measured latency if it is given."""
    tests = {
        "improvement": _improvement,
        "support": judge_support,
        "empathy_deficit": judge_empathy,
        "false_intervention": judge_false_intervention,
        "silence": judge_silence,
        "stability": _stability,
    }
    judgements = [tests[m](terms, stored) for m in measured_metrics(terms.spec) if m in tests]
    return combine_verdicts([*judgements, latency] if latency is not None else judgements)


def sub_gate(terms: GateTerms, stored: Mapping[str, np.ndarray], head: str) -> GateResult:
    """Test one sub-head by its paired difference over the decisions in which it acted.

    Its effects are small, so it must only be not worse. Its model gate must show that it is better.
    """
    name = sub_metric(head)
    sums = read_centred(stored, name)
    return combine_verdicts(
        [_not_worse(terms, name, sums, f"the effect of {head} on the immediate reward per decision")]
    )


def _improvement(terms: GateTerms, stored: Mapping[str, np.ndarray]) -> Judgement:
    """Require a candidate to be better than the reference.

    Over an incumbent, which was better before, it must seem better and be proven not worse than what is left of the margin.
    """
    sums = read_centred(stored, "improvement")
    if terms.incumbent:
        return _not_worse(
            terms, "improvement", sums, "the immediate difference from the incumbent (reward per decision)"
        )
    interval, against = _gain_intervals(terms, sums)
    result = verdict(
        interval,
        0.0,
        "above",
        fail_interval=against,
        futility=futility_bound(terms.in_units(terms.rival_value)),
        needed=_needed_for_effect(terms, sums),
        name="the immediate improvement over the reference (reward per decision)",
    )
    return judgement_of("improvement", interval, 0.0, result)


def _gain_intervals(terms: GateTerms, sums: CentredSums) -> tuple[Interval, Interval]:
    """Return the intervals of a reward difference for passing and for failing, less the allowance for optimism, in units."""
    shift, shift_sd = terms.allowance
    pass_interval, fail_interval = (
        _in_units(terms, mean_interval(sums, level=level, reach=terms.reach, shift=shift, shift_sd=shift_sd))
        for level in (terms.level, 1 - 2 * FALSE_PASS_ALPHA)
    )
    return pass_interval, fail_interval


def _needed_for_effect(terms: GateTerms, sums: CentredSums) -> float:
    return people_needed_for(sums, terms.effect, level=(1 + terms.level) / 2, shift_sd=terms.allowance[1])


def _not_worse(terms: GateTerms, name: str, sums: CentredSums, description: str) -> Judgement:
    interval, against = _gain_intervals(terms, sums)
    needed, margin = _needed_for_effect(terms, sums), terms.in_units(terms.margin)
    result = verdict(interval, -margin, "at_least", fail_interval=against, needed=needed, name=description)
    if result.answer == "pass" and interval.estimate < 0:
        reason = f"{description} is {interval.estimate:.4g}, so the candidate seems no better"
        more = f" A decision needs about {needed:,.0f} people." if needed > interval.users else ""
        result = Verdict("insufficient", f"{reason}.{more}", needed if more else None)
    return judgement_of(name, interval, -margin, result)


def _stability(terms: GateTerms, stored: Mapping[str, np.ndarray]) -> Judgement:
    sums = read_centred(stored, "stability")
    interval = _in_units(terms, mean_interval(sums, level=1 - 2 * FALSE_PASS_ALPHA))
    margin = terms.in_units(terms.stability_margin)
    needed = people_needed_for(sums, terms.stability_margin, level=1 - FALSE_PASS_ALPHA)
    result = equivalence(interval, margin, needed=needed, name="the drift of the reward (reward per decision)")
    return judgement_of("stability", interval, margin, result)


def _in_units(terms: GateTerms, interval: Interval) -> Interval:
    """Return an interval of a reward, which is in reward scales, in the loop's units."""
    estimate, low, high, se = map(terms.in_units, (interval.estimate, interval.low, interval.high, interval.se))
    return replace(interval, estimate=estimate, low=low, high=high, se=se)
