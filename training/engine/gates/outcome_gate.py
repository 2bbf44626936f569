"""Run the outcome gate: test a candidate on noisy sums of real people's outcomes.

Every measured metric must pass, each at its own level. This is an intersection-union test, so nothing is corrected between
metrics. Re-use of the same people is corrected (``attempt_alpha``). The verdict is pass, fail, or insufficient evidence with
about how many people a decision needs. Synthetic rows never enter. Rewards are tested in reward scales and shown in the loop's
units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from loops.engine.spec import LoopSpec
from loops.engine.thresholds import EMPATHY_BAR, FALSE_INTERVENTION_BAR, smallest_effect, stability_margin
from privacy.engine.evaluation.statistics import measured_metrics, sub_metric
from training.engine.gates.decision_rule import (
    FALSE_PASS_ALPHA,
    Verdict,
    VerdictWord,
    attempt_alpha,
    equivalence,
    futility_bound,
    verdict,
)
from training.engine.intervals.clustered import Interval
from training.engine.intervals.noisy_ratio import (
    MetricSums,
    sums_interval,
    sums_ratio_interval,
    users_needed_for_bar,
    users_needed_from_sums,
)


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
    """Hold the terms of a test besides its sums. Rewards are in reward scales. ``attempt`` counts from 1."""

    spec: LoopSpec
    rival_value: float
    attempt: int = 1
    incumbent: bool = False  # whether the rival is the incumbent and not the reference
    heads: int = 1  # candidates tested on the same people at once

    @property
    def level(self) -> float:
        """Return the two-sided level. Each tail is the attempt's alpha divided by the number of heads tested."""
        return 1 - 2 * attempt_alpha(self.attempt, self.heads)

    @property
    def effect(self) -> float:
        """Return the smallest effect worth finding, in reward scales."""
        return smallest_effect(self.spec)

    @property
    def stability_margin(self) -> float:
        """Return the tolerated drift of the reward, in reward scales."""
        return stability_margin(self.spec) / self.spec.reward.scale


def read_statistics(stored: Mapping[str, np.ndarray], metric: str) -> MetricSums:
    """Read the released sums of one metric. A paired metric counts the people, because its B is 1 for each person."""
    clip_a, clip_b = (float(x) for x in stored[f"{metric}_clips"])
    paired = "improvement" if "improvement" in stored else metric
    users, sd_users = float(stored[paired][1]), float(stored[f"{paired}_sd"][1])
    a, b, aa, ab, bb = (float(x) for x in stored[metric])
    sd_a, sd_b, sd_aa, sd_ab, sd_bb = (float(x) for x in stored[f"{metric}_sd"])
    sds = {"sd_users": sd_users, "sd_a": sd_a, "sd_b": sd_b, "sd_aa": sd_aa, "sd_ab": sd_ab, "sd_bb": sd_bb}
    return MetricSums(max(users, 0.0), a, b, aa, ab, bb, clip_a, clip_b, **sds)


def outcome_gate(terms: GateTerms, stored: Mapping[str, np.ndarray], latency: Judgement | None = None) -> GateResult:
    """Test every metric that the loop's data can measure, and include the measured latency if it is given."""
    tests = {
        "improvement": _improvement,
        "long_run": _long_run,
        "empathy_deficit": _empathy,
        "false_intervention": _false_intervention,
        "stability": _stability,
    }
    judgements = [tests[metric](terms, read_statistics(stored, metric)) for metric in measured_metrics(terms.spec)]
    return combine_verdicts([*judgements, latency] if latency is not None else judgements)


def combine_verdicts(judgements: list[Judgement]) -> GateResult:
    """Combine verdicts: the worst one wins. The number of people is the largest known one of the undecided metrics."""
    for answer in ("fail", "insufficient"):
        worst = [j for j in judgements if j.verdict == answer]
        if worst:
            needed = [j.needed_users for j in worst if j.needed_users is not None]
            reason = " ".join(j.reason for j in worst)
            return GateResult(
                worst[0].verdict, reason, tuple(judgements), max(needed, default=None) if answer != "fail" else None
            )
    return GateResult("pass", "Every metric passed on people who trained no model.", tuple(judgements), None)


def sub_gate(terms: GateTerms, stored: Mapping[str, np.ndarray], head: str) -> GateResult:
    """Test one sub-head by its paired difference over the decisions in which it acted.

    Its effects are small, so it must only be not worse. Its model gate must show that it is better.
    """
    name = sub_metric(head)
    sums = read_statistics(stored, name)
    return combine_verdicts(
        [_not_worse(terms, name, sums, f"the effect of {head} on the immediate reward (in reward scales)")]
    )


def _improvement(terms: GateTerms, sums: MetricSums) -> Judgement:
    """Require a candidate to be better than the reference, but only not worse than an incumbent, which was better before."""
    if terms.incumbent:
        return _not_worse(terms, "improvement", sums, "the immediate difference from the incumbent (in reward scales)")
    interval = sums_interval(sums, level=terms.level)
    result = verdict(
        interval,
        0.0,
        "above",
        fail_interval=sums_interval(sums, level=1 - 2 * FALSE_PASS_ALPHA),
        futility=futility_bound(terms.rival_value),
        needed=users_needed_from_sums(sums, terms.effect, level=(1 + terms.level) / 2),
        name="the immediate improvement over the reference (in reward scales)",
    )
    return _rewards(terms, "improvement", interval, 0.0, result)


def _not_worse(terms: GateTerms, name: str, sums: MetricSums, description: str) -> Judgement:
    interval = sums_interval(sums, level=terms.level)
    result = verdict(
        interval,
        -terms.effect,
        "at_least",
        fail_interval=sums_interval(sums, level=1 - 2 * FALSE_PASS_ALPHA),
        needed=users_needed_from_sums(sums, terms.effect, level=(1 + terms.level) / 2),
        name=description,
    )
    return _rewards(terms, name, interval, -terms.effect, result)


def _long_run(terms: GateTerms, sums: MetricSums) -> Judgement:
    return _not_worse(terms, "long_run", sums, "the long-run difference from the rival (in reward scales)")


def _stability(terms: GateTerms, sums: MetricSums) -> Judgement:
    interval = sums_interval(sums, level=1 - 2 * FALSE_PASS_ALPHA)
    needed = users_needed_from_sums(sums, terms.stability_margin, level=1 - FALSE_PASS_ALPHA)
    result = equivalence(
        interval, terms.stability_margin, needed=needed, name="the drift of the reward (in reward scales)"
    )
    return _rewards(terms, "stability", interval, terms.stability_margin, result)


def _empathy(terms: GateTerms, sums: MetricSums) -> Judgement:
    """Test empathy. It is released as its complement, which is smaller and so measured better, and is reported as empathy."""
    needed = users_needed_for_bar(sums, 1 - EMPATHY_BAR, level=(1 + terms.level) / 2, share=True, at_most=True)
    interval, against = (
        _complement(sums_ratio_interval(sums, level=x)) for x in (terms.level, 1 - 2 * FALSE_PASS_ALPHA)
    )
    description = "empathy over interventions"
    result = verdict(interval, EMPATHY_BAR, "at_least", fail_interval=against, needed=needed, name=description)
    return _judgement("empathy", interval, EMPATHY_BAR, result, 1.0)


def _complement(interval: Interval) -> Interval:
    return replace(interval, estimate=1 - interval.estimate, low=1 - interval.high, high=1 - interval.low)


def _false_intervention(terms: GateTerms, sums: MetricSums) -> Judgement:
    bar = FALSE_INTERVENTION_BAR
    interval = sums_ratio_interval(sums, level=terms.level)
    result = verdict(
        interval,
        bar,
        "at_most",
        fail_interval=sums_ratio_interval(sums, level=1 - 2 * FALSE_PASS_ALPHA),
        needed=users_needed_for_bar(sums, bar, level=(1 + terms.level) / 2, share=True, at_most=True),
        name="the share of false interventions",
    )
    return _judgement("false_intervention", interval, bar, result, 1.0)


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
