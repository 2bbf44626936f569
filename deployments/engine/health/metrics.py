"""Compare four metrics of a version with their thresholds, and show how many interventions people answered.

*Beyond* means statistically proven: the anytime-valid bound lies beyond the threshold. A point estimate that is checked every
minute would fire on noise. Values stand for whole weeks. Until the first week is closed, those of people's first days are shown,
and they say so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from core.arrays import Floats
from deployments.engine.evidence.e_process import Weighted, bounds, mean_radius, strongest_above, strongest_below
from deployments.engine.evidence.person_weeks import PersonWeeks, TestSample
from deployments.engine.health.evidence import Evidence, Latency
from loops.engine.thresholds import EMPATHY_BAR, FALSE_INTERVENTION_BAR, SLOW_SHARE

FALSE_ROLLBACK_ALPHA = 0.01  # probability of a false "beyond" for each metric, over all checks of a deployment together
LEAST_PEOPLE_SEEN = 20
LEAST_REQUESTS = 200
LEAST_COMPARED = LEAST_PEOPLE_SEEN // 2
LEAST_SHOWN = 10  # people; a mean of fewer says too much about one of them
MetricVerdict = Literal["ok", "beyond", "too_few"]
MetricTime = Literal["weeks", "first day", "hours"]


@dataclass(frozen=True)
class Metric:
    """Hold one metric as it is stored and shown.

    ``value``: mean over people of each person's mean. ``low``, ``high``: anytime-valid bounds. ``threshold``: None if the metric
    has none. ``n``: number of people, or of requests for latency. ``over``: the time that the value stands for.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    threshold: float | None
    n: int
    minimum_n: int
    verdict: MetricVerdict
    over: MetricTime = "weeks"

    @property
    def counts(self) -> bool:
        """Tell whether the metric is proven beyond its threshold over the whole time of its people."""
        return self.verdict == "beyond" and self.over != "first day"


def metrics_of(evidence: Evidence) -> tuple[Metric, ...]:
    """Return all metrics of the watched version.

    Metrics of people have no value or bounds below ``LEAST_SHOWN`` people, and latency has none below ``LEAST_REQUESTS``.
    """
    weeks = evidence.weeks
    of_people = (
        _person_metric("empathy", weeks.empathy, EMPATHY_BAR, low_is_bad=True),
        _person_metric(
            "false_intervention", weeks.false_interventions(evidence.silence), FALSE_INTERVENTION_BAR, low_is_bad=False
        ),
        _stability(evidence),
        _answered(weeks.answers),
    )
    empathy, false_interventions, stability, answered = map(_without_few, of_people)
    return empathy, false_interventions, _latency(evidence.latency), stability, answered


def _without_few(metric: Metric) -> Metric:
    return _unknown(metric) if metric.n < LEAST_SHOWN else metric


def _unknown(metric: Metric) -> Metric:
    return replace(metric, value=None, low=None, high=None)


def _person_metric(name: str, table: PersonWeeks, bar: float, *, low_is_bad: bool) -> Metric:
    values, tests, over = _shown(table)
    value = float(values.mean()) if len(values) else None
    low, high, proven = _tested(tests, bar, low_is_bad=low_is_bad)
    return Metric(name, value, low, high, bar, *_verdict(len(values), LEAST_PEOPLE_SEEN, proven), over)


def _answered(table: PersonWeeks) -> Metric:
    """Show the share of interventions that people answered. It has no threshold, and is compared with the other arm's."""
    values, tests, over = _shown(table)
    value = float(values.mean()) if len(values) else None
    low, high = bounds(tests, FALSE_ROLLBACK_ALPHA)
    return Metric("answered", value, low, high, None, *_verdict(len(values), LEAST_PEOPLE_SEEN, False), over)


def _shown(table: PersonWeeks) -> tuple[Floats, Weighted, MetricTime]:
    """Return each person's value under the watched version, the tests on these people, and the time that they stand for.

    A test that began late has the newcomers alone. While they are few, it is left out, because its bounds would be about them.
    """
    samples = table.samples if table.closed else [table.days]
    tests = [(sample.arm(ours=True), sample.log_weight) for sample in samples]
    tests = [(values, weight) for values, weight in tests if len(values) >= LEAST_SHOWN]
    if table.closed:
        return table.person_means(ours=True), tests, "weeks"
    return table.days.arm(ours=True), tests, "first day"


def _latency(latency: Latency) -> Metric:
    """Compare the share of requests over 200 ms with 5%.

    The 95th percentile is at most 200 ms exactly if that share is at most 5%. Each minute is one value, because requests of one
    minute are slow together.
    """
    n, slow = latency.requests, latency.over_200_ms
    low, high, proven = _tested(latency.minutes.tests, SLOW_SHARE, low_is_bad=False)
    known = Metric("latency", slow / max(n, 1), low, high, SLOW_SHARE, *_verdict(n, LEAST_REQUESTS, proven), "hours")
    return _unknown(known) if n < LEAST_REQUESTS else known


def _tested(tests: Weighted, bar: float, *, low_is_bad: bool) -> tuple[float, float, bool]:
    """Return the bounds of a mean, and whether it is proven to lie beyond its threshold."""
    low, high = bounds(tests, FALSE_ROLLBACK_ALPHA)
    strongest = (strongest_below if low_is_bad else strongest_above)(tests, bar)
    return low, high, strongest >= math.log(1 / FALSE_ROLLBACK_ALPHA)


def _verdict(n: int, least: int, proven: bool) -> tuple[int, int, MetricVerdict]:
    return n, least, "too_few" if n < least else "beyond" if proven else "ok"


def _stability(evidence: Evidence) -> Metric:
    """Compare a person's mean reward with the other arm's or, if that is too small, with the version's own first weeks.

    A version is deployed for being better than the one before. The metric is therefore beyond only if the reward is lower by more
    than the margin. The two bounds hold jointly whichever people the arms contain. Later weeks share people with the first ones.
    Pairs of which one has fewer than ``LEAST_SHOWN`` people are left out, because the figures would be about them.
    """
    table, margin = evidence.weeks.reward, evidence.margin
    samples = table.samples
    if evidence.other_arm == "rotating":  # over several weeks, active people are more often held back once
        samples = [sample for sample in samples if sample.over == "1 week"]
    pairs = [(s.arm(ours=True), s.arm(ours=False), s.weight, s.weight) for s in samples]
    if not rewards_are_compared(table):
        pairs = _pairs_with_first(samples)
    n = max((min(len(ours), len(theirs)) for ours, theirs, _, _ in pairs), default=0)
    found = [_difference(*pair) for pair in pairs if min(len(pair[0]), len(pair[1])) >= LEAST_SHOWN]
    low, high = max((d[1] for d in found), default=-math.inf), min((d[2] for d in found), default=math.inf)
    value = min(found, key=lambda d: d[2])[0] if found else None  # where a fall is seen best
    proven = high < -margin
    return Metric("reward_stability", value, _finite(low), _finite(high), margin, *_verdict(n, LEAST_COMPARED, proven))


def rewards_are_compared(table: PersonWeeks) -> bool:
    """Tell whether enough people of the other arm have a closed week to compare rewards with theirs."""
    return any(len(sample.arm(ours=False)) >= LEAST_COMPARED for sample in table.samples)


def _pairs_with_first(samples: list[TestSample]) -> list[tuple[Floats, Floats, float, float]]:
    """Pair each later test with the first test over as many weeks."""
    firsts: dict[str, TestSample] = {}
    pairs = []
    for sample in samples:
        first = firsts.setdefault(sample.over, sample)
        if first is not sample:
            pairs.append((sample.arm(ours=True), first.arm(ours=True), sample.weight, first.weight))
    return pairs


def _difference(ours: Floats, theirs: Floats, weight: float, their_weight: float) -> tuple[float | None, float, float]:
    """Return the difference of two means and its bounds. Each arm uses half of its test's share of the false-alarm rate.

    Both arms use the larger of the two standard deviations, because twenty people may be alike by chance.
    """
    if min(len(ours), len(theirs)) < 2:
        return None, -math.inf, math.inf
    sd = max(float(values.std(ddof=1)) for values in (ours, theirs))
    radius = sum(
        mean_radius(len(values), sd, FALSE_ROLLBACK_ALPHA / 2 * share)
        for values, share in ((ours, weight), (theirs, their_weight))
    )
    value = float(np.mean(ours) - np.mean(theirs))
    return value, value - radius, value + radius


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None
