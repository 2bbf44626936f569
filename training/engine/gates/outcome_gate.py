"""The outcome gate: what real people's outcomes, as noisy sums, say about a candidate.

An intersection-union test: every measured metric must pass, each at its own level (no correction between metrics). The
correction belongs to re-use of the same people (``attempt_alpha``). Three answers: pass, fail, insufficient evidence with
about how many people it would take. Synthetic rows never enter. Rewards are judged in reward scales, shown in the
loop's units.
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
    """One metric with its interval, bar and verdict, in the units that people read."""

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
    """The verdict over all metrics, its reason, and about how many people it would take where evidence is insufficient."""

    verdict: VerdictWord
    reason: str
    judgements: tuple[Judgement, ...]
    needed_users: float | None


@dataclass(frozen=True)
class GateTerms:
    """What a judgement depends on beside the sums. Rewards in reward scales; ``attempt`` counts from 1."""

    spec: LoopSpec
    rival_value: float
    attempt: int = 1
    incumbent: bool = False  # the rival is what serves, not the reference
    heads: int = 1  # candidates put to the same people at once

    @property
    def level(self) -> float:
        """Two-sided level whose tails are each the attempt's alpha, divided by the heads that are asked with it."""
        return 1 - 2 * attempt_alpha(self.attempt, self.heads)

    @property
    def effect(self) -> float:
        return smallest_effect(self.spec)

    @property
    def stability_margin(self) -> float:
        return stability_margin(self.spec) / self.spec.reward.scale


def read_statistics(stored: Mapping[str, np.ndarray], metric: str) -> MetricSums:
    """The released sums of one metric. People are counted by a paired metric, whose B is 1 a person."""
    clip_a, clip_b = (float(x) for x in stored[f"{metric}_clips"])
    paired = "improvement" if "improvement" in stored else metric
    users, sd_users = float(stored[paired][1]), float(stored[f"{paired}_sd"][1])
    a, b, aa, ab, bb = (float(x) for x in stored[metric])
    sd_a, sd_b, sd_aa, sd_ab, sd_bb = (float(x) for x in stored[f"{metric}_sd"])
    sds = {"sd_users": sd_users, "sd_a": sd_a, "sd_b": sd_b, "sd_aa": sd_aa, "sd_ab": sd_ab, "sd_bb": sd_bb}
    return MetricSums(max(users, 0.0), a, b, aa, ab, bb, clip_a, clip_b, **sds)


def outcome_gate(terms: GateTerms, stored: Mapping[str, np.ndarray], latency: Judgement | None = None) -> GateResult:
    """Judge every metric that the loop's data can answer, and the measured latency where one is given."""
    judges = {
        "improvement": _improvement,
        "long_run": _long_run,
        "empathy_deficit": _empathy,
        "false_intervention": _false_intervention,
        "stability": _stability,
    }
    found = [judges[metric](terms, read_statistics(stored, metric)) for metric in measured_metrics(terms.spec)]
    return combine_verdicts([*found, latency] if latency is not None else found)


def combine_verdicts(judgements: list[Judgement]) -> GateResult:
    """The worst verdict wins; the number of people is the largest finite one among what is undecided."""
    for answer in ("fail", "insufficient"):
        worst = [j for j in judgements if j.verdict == answer]
        if worst:
            needed = [j.needed_users for j in worst if j.needed_users is not None]
            reason = " ".join(j.reason for j in worst)
            return GateResult(
                worst[0].verdict, reason, tuple(judgements), max(needed, default=None) if answer != "fail" else None
            )
    return GateResult("pass", "Every metric passed on people nobody trained on.", tuple(judgements), None)


def sub_gate(terms: GateTerms, stored: Mapping[str, np.ndarray], head: str) -> GateResult:
    """Judge one sub-head by its paired difference where it spoke. Its effects are small, so not being worse is enough: that it
    is better, its model gate has to know.
    """
    name = sub_metric(head)
    sums = read_statistics(stored, name)
    return combine_verdicts(
        [_not_worse(terms, name, sums, f"what {head} changes of the immediate reward (in reward scales)")]
    )


def _improvement(terms: GateTerms, sums: MetricSums) -> Judgement:
    """Over the reference: better. Over what serves, which was better before: not worse."""
    if terms.incumbent:
        return _not_worse(terms, "improvement", sums, "the immediate difference to what serves (in reward scales)")
    interval = sums_interval(sums, level=terms.level)
    said = verdict(
        interval,
        0.0,
        "above",
        fail_interval=sums_interval(sums, level=1 - 2 * FALSE_PASS_ALPHA),
        futility=futility_bound(terms.rival_value),
        needed=users_needed_from_sums(sums, terms.effect, level=(1 + terms.level) / 2),
        name="the immediate improvement over the reference (in reward scales)",
    )
    return _rewards(terms, "improvement", interval, 0.0, said)


def _not_worse(terms: GateTerms, name: str, sums: MetricSums, words: str) -> Judgement:
    interval = sums_interval(sums, level=terms.level)
    said = verdict(
        interval,
        -terms.effect,
        "at_least",
        fail_interval=sums_interval(sums, level=1 - 2 * FALSE_PASS_ALPHA),
        needed=users_needed_from_sums(sums, terms.effect, level=(1 + terms.level) / 2),
        name=words,
    )
    return _rewards(terms, name, interval, -terms.effect, said)


def _long_run(terms: GateTerms, sums: MetricSums) -> Judgement:
    return _not_worse(terms, "long_run", sums, "the long-run difference to the rival (in reward scales)")


def _stability(terms: GateTerms, sums: MetricSums) -> Judgement:
    interval = sums_interval(sums, level=1 - 2 * FALSE_PASS_ALPHA)
    needed = users_needed_from_sums(sums, terms.stability_margin, level=1 - FALSE_PASS_ALPHA)
    said = equivalence(interval, terms.stability_margin, needed=needed, name="the drift of reward (in reward scales)")
    return _rewards(terms, "stability", interval, terms.stability_margin, said)


def _empathy(terms: GateTerms, sums: MetricSums) -> Judgement:
    """Released as its complement, which is the smaller number and so the better measured one; judged and said as empathy."""
    needed = users_needed_for_bar(sums, 1 - EMPATHY_BAR, level=(1 + terms.level) / 2, share=True, at_most=True)
    interval, against = (
        _complement(sums_ratio_interval(sums, level=x)) for x in (terms.level, 1 - 2 * FALSE_PASS_ALPHA)
    )
    words = "empathy over interventions"
    said = verdict(interval, EMPATHY_BAR, "at_least", fail_interval=against, needed=needed, name=words)
    return _judgement("empathy", interval, EMPATHY_BAR, said, 1.0)


def _complement(interval: Interval) -> Interval:
    return replace(interval, estimate=1 - interval.estimate, low=1 - interval.high, high=1 - interval.low)


def _false_intervention(terms: GateTerms, sums: MetricSums) -> Judgement:
    bar = FALSE_INTERVENTION_BAR
    interval = sums_ratio_interval(sums, level=terms.level)
    said = verdict(
        interval,
        bar,
        "at_most",
        fail_interval=sums_ratio_interval(sums, level=1 - 2 * FALSE_PASS_ALPHA),
        needed=users_needed_for_bar(sums, bar, level=(1 + terms.level) / 2, share=True, at_most=True),
        name="the share of false interventions",
    )
    return _judgement("false_intervention", interval, bar, said, 1.0)


def _rewards(terms: GateTerms, name: str, interval: Interval, bar: float, said: Verdict) -> Judgement:
    return _judgement(name, interval, bar, said, terms.spec.reward.scale)


def _judgement(name: str, interval: Interval, bar: float, said: Verdict, scale: float) -> Judgement:
    return Judgement(
        name,
        interval.estimate * scale,
        interval.low * scale,
        interval.high * scale,
        bar * scale,
        interval.users,
        said.answer,
        said.reason[:1].upper() + said.reason[1:],
        said.users_needed,
    )
