"""Derive the health of a deployed version from stored evidence, as a pure function that can recompute every verdict.

Four metrics are compared with their thresholds. *Beyond* means statistically proven: the anytime-valid bound lies beyond the
threshold. A point estimate that is checked every minute would fire on noise. With no metric beyond, a version is healthy. With
one or two it is degraded, and with three or more it is critical.

Relative triggers compare the version with its holdback at the same time. Latency is compared minute by minute, so that a slow
database rolls nothing back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from deployments.engine.evidence.cohort_series import SPAN, CohortSeries, UnitSample
from deployments.engine.evidence.e_process import (
    EMPATHY_STAKES,
    FALSE_INTERVENTION_STAKES,
    LATENCY_STAKES,
    NullHypothesis,
    PairedBlocks,
    bounds,
    log_paired,
    mean_radius,
    strongest_above,
    strongest_below,
)
from loops.engine.thresholds import (
    EMPATHY_BAR,
    EMPATHY_DROP,
    FALSE_INTERVENTION_BAR,
    FALSE_INTERVENTION_RISE,
    SLOW_SHARE,
)

FALSE_ROLLBACK_ALPHA = 0.01  # probability of a false "beyond" for each metric, over all checks of a deployment together
HEALTH_METRICS = 4
LEAST_PEOPLE_SEEN = 20
LEAST_REQUESTS = 200
_LEAST_COMPARED = LEAST_PEOPLE_SEEN // 2
# A trigger's bar of log evidence: all triggers together err in at most ``FALSE_ROLLBACK_ALPHA`` of deployments.
_TRIGGER_BAR = math.log(HEALTH_METRICS / FALSE_ROLLBACK_ALPHA)
NEAR_NOTHING = 0.02  # a holdback's share below this has no meaningful ratio
SLOWER = 0.005  # tolerated excess over the holdback, as a share of a minute's requests over 250 ms
MetricVerdict = Literal["ok", "beyond", "too_few"]
HealthStatus = Literal["healthy", "degraded", "critical"]
EMPTY = CohortSeries(np.zeros(0))


@dataclass(frozen=True)
class Arm:
    """Hold one arm's values for each person and epoch.

    Empathy is a mean over interventions and false intervention a share of them, both in [0, 1]. Reward is in the loop's units.
    """

    empathy: CohortSeries = EMPTY
    false_intervention: CohortSeries = EMPTY
    reward: CohortSeries = EMPTY


@dataclass(frozen=True)
class Latency:
    """Count the answered requests of this hour and the hour before, and how many of them took longer than 200 ms.

    ``minutes``: the share of slow requests in each minute. An epoch is an hour of the deployment.
    """

    requests: int = 0
    over_200_ms: int = 0
    minutes: CohortSeries = EMPTY


@dataclass(frozen=True)
class Holdback:
    """Hold the evidence of the people who stay on the version before.

    ``blocks``: number of people of each arm in a block of the paired test. ``slow_minutes``: shares of requests over 250 ms of
    stable version and holdback, in minutes in which both were answered. None if latency is not measured for this head.
    """

    arm: Arm
    blocks: PairedBlocks
    slow_minutes: tuple[CohortSeries, CohortSeries] | None = None


@dataclass(frozen=True)
class Evidence:
    """Hold everything that a verdict uses.

    ``margin``: tolerated fall of the reward, in the loop's units. ``holdback``: None if nobody is held back.
    """

    arm: Arm
    holdback: Holdback | None
    latency: Latency
    margin: float


@dataclass(frozen=True)
class Metric:
    """Hold one metric as it is stored and shown.

    ``value``: mean over people of each person's mean. ``low``, ``high``: anytime-valid bounds. ``n``: number of people, or of
    requests for latency.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    threshold: float
    n: int
    minimum_n: int
    verdict: MetricVerdict


@dataclass(frozen=True)
class Trigger:
    """Hold the result of a relative trigger, from its betting test with the strongest evidence.

    ``value``: relative difference from the holdback (latency: difference of shares). ``log_evidence``: weighted log evidence that
    the version is worse. ``bar``: log evidence needed to fire.
    """

    name: str
    value: float | None
    log_evidence: float
    bar: float
    fires: bool


@dataclass(frozen=True)
class HealthReport:
    """Hold the health state, everything that it is derived from, and recommendations for the operator."""

    state: HealthStatus
    metrics: tuple[Metric, ...]
    triggers: tuple[Trigger, ...]
    recommendations: tuple[str, ...] = field(default=())

    @property
    def must_roll_back(self) -> bool:
        """Tell whether the version is critical or a trigger has fired."""
        return self.state == "critical" or any(t.fires for t in self.triggers)

    def as_json(self) -> dict[str, list[Any]]:
        """Return metrics, triggers and recommendations as JSON values."""
        return {
            "metrics": [asdict(m) for m in self.metrics],
            "triggers": [asdict(t) for t in self.triggers],
            "recommendations": list(self.recommendations),
        }


def health_of(evidence: Evidence) -> HealthReport:
    """Derive the health of a version from the outcomes of its people."""
    arm = evidence.arm
    metrics = (
        _person_metric("empathy", arm.empathy, EMPATHY_BAR, low_is_bad=True),
        _person_metric("false_intervention", arm.false_intervention, FALSE_INTERVENTION_BAR, low_is_bad=False),
        _latency(evidence.latency),
        _stability(evidence),
    )
    beyond = sum(m.verdict == "beyond" for m in metrics)
    state: HealthStatus = "critical" if beyond >= 3 else "degraded" if beyond else "healthy"
    triggers = _triggers(evidence)
    return HealthReport(state, metrics, triggers, _recommendations(state, metrics, triggers, evidence))


def _person_metric(name: str, series: CohortSeries, bar: float, *, low_is_bad: bool) -> Metric:
    return _metric(name, series, bar, series.mean, series.size, LEAST_PEOPLE_SEEN, low_is_bad=low_is_bad)


def _latency(latency: Latency) -> Metric:
    """Compare the share of requests over 200 ms with 5%.

    The 95th percentile is at most 200 ms exactly if that share is at most 5%. Each minute is one value, because requests of one
    minute are slow together.
    """
    n, slow = latency.requests, latency.over_200_ms
    share = slow / n if n else None
    return _metric("latency", latency.minutes, SLOW_SHARE, share, n, LEAST_REQUESTS, low_is_bad=False)


def _metric(
    name: str, series: CohortSeries, bar: float, value: float | None, n: int, least: int, *, low_is_bad: bool
) -> Metric:
    low, high = bounds(series, FALSE_ROLLBACK_ALPHA)
    proven = (strongest_below if low_is_bad else strongest_above)(series, bar) >= math.log(1 / FALSE_ROLLBACK_ALPHA)
    verdict: MetricVerdict = "too_few" if n < least else "beyond" if proven else "ok"
    return Metric(name, value, low, high, bar, n, least, verdict)


def _stability(evidence: Evidence) -> Metric:
    """Compare a person's mean reward with the holdback's or, if that is too small, with the version's own first epoch.

    A version is deployed for being better than the one before. The metric is therefore beyond only if the reward is lower by more
    than the margin. The two bounds hold jointly whichever people the arms contain. Later epochs share people with the first one.
    """
    ours, margin = evidence.arm.reward, evidence.margin
    theirs = evidence.holdback.arm.reward if evidence.holdback is not None else EMPTY
    if theirs.size >= _LEAST_COMPARED:
        pairs: Iterable[tuple[UnitSample, UnitSample]] = zip(ours.samples, theirs.samples, strict=True)
    else:
        pairs = _pairs_with_first(ours)
        ours, theirs = ours.epochs(1), ours.epochs(0, 1)
    n = min(ours.size, theirs.size)
    value = ours.mean - theirs.mean if ours.mean is not None and theirs.mean is not None else None
    differences = [_difference(a, b) for a, b in pairs]
    low, high = max((d[0] for d in differences), default=-math.inf), min((d[1] for d in differences), default=math.inf)
    verdict: MetricVerdict = "too_few" if n < _LEAST_COMPARED else "beyond" if high < -margin else "ok"
    return Metric("reward_stability", value, _finite(low), _finite(high), margin, n, _LEAST_COMPARED, verdict)


def _pairs_with_first(series: CohortSeries) -> list[tuple[UnitSample, UnitSample]]:
    """Pair each later epoch with the first epoch, and each later span with the first span."""
    weeks, spans = series.families
    return [(s, f[0].begin(n)) for f, n in ((weeks, 1), (spans, SPAN)) for s in f[1:]]


def _difference(ours: UnitSample, theirs: UnitSample) -> tuple[float, float]:
    """Return bounds of the difference of two means. Each arm uses half of its test's share of the false-alarm rate.

    Both arms use the larger of the two standard deviations, because twenty people may be alike by chance.
    """
    both = [s.values for s in (ours, theirs)]
    if min(map(len, both)) < 2:
        return -math.inf, math.inf
    sd = max(float(values.std(ddof=1)) for values in both)
    radius = sum(mean_radius(len(s.values), sd, FALSE_ROLLBACK_ALPHA / 2 * s.weight) for s in (ours, theirs))
    value = float(ours.values.mean() - theirs.values.mean())
    return value - radius, value + radius


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def _triggers(evidence: Evidence) -> tuple[Trigger, ...]:
    if evidence.holdback is None:
        return ()
    ours, theirs, blocks = evidence.arm, evidence.holdback.arm, evidence.holdback.blocks
    triggers = (
        _paired_trigger("empathy_drop", ours.empathy, theirs.empathy, blocks, higher=True),
        _paired_trigger(
            "false_intervention_rise", ours.false_intervention, theirs.false_intervention, blocks, higher=False
        ),
    )
    slow = evidence.holdback.slow_minutes
    return triggers if slow is None else (*triggers, _latency_trigger(*slow))


def _paired_trigger(
    name: str, ours: CohortSeries, theirs: CohortSeries, blocks: PairedBlocks, *, higher: bool
) -> Trigger:
    tests = [_paired_test(name, y, z, blocks, higher=higher) for y, z in zip(ours.samples, theirs.samples, strict=True)]
    return _strongest(tests)


def _latency_trigger(ours: CohortSeries, theirs: CohortSeries) -> Trigger:
    """Test for a share of requests over 250 ms that exceeds the holdback's in the same minutes by more than .005."""
    null = NullHypothesis(1.0, SLOWER, higher_is_better=False)
    tests = []
    for y, z in zip(ours.samples, theirs.samples, strict=True):
        worse = log_paired(y, z, null, PairedBlocks(1, 1), LATENCY_STAKES, 0.0)
        value = float(y.values.mean() - z.values.mean()) if len(y.values) else None
        tests.append(Trigger("latency_over_250_ms", value, worse, _TRIGGER_BAR, worse >= _TRIGGER_BAR))
    return _strongest(tests)


def _strongest(tests: list[Trigger]) -> Trigger:
    return max(tests, key=lambda test: (test.fires, test.log_evidence))


def _paired_test(name: str, ours: UnitSample, theirs: UnitSample, blocks: PairedBlocks, *, higher: bool) -> Trigger:
    """Run one paired betting test. It fires if the version is proven worse and the difference is large enough.

    The relative difference must exceed the declared change as measured, or be proven to. A holdback's share near 0 has no
    meaningful ratio, so the version must then be proven worse by .02 of the people.
    """

    def evidence_against(null: NullHypothesis) -> float:
        stakes, prior = (EMPATHY_STAKES, EMPATHY_BAR) if higher else (FALSE_INTERVENTION_STAKES, FALSE_INTERVENTION_BAR)
        return log_paired(ours, theirs, null, blocks, stakes, prior)

    worse = evidence_against(NullHypothesis(higher_is_better=higher))
    if not len(ours.values) or not len(theirs.values):
        return Trigger(name, None, worse, _TRIGGER_BAR, False)
    now, before = float(ours.values.mean()), float(theirs.values.mean())
    if not higher and before < NEAR_NOTHING:
        proven = worse >= _TRIGGER_BAR and evidence_against(NullHypothesis(1.0, NEAR_NOTHING, higher)) >= _TRIGGER_BAR
        return Trigger(name, None, worse, _TRIGGER_BAR, proven)
    change = EMPATHY_DROP if higher else FALSE_INTERVENTION_RISE
    relative = (before - now) / max(before, 1e-9) * (1 if higher else -1)
    null = NullHypothesis(1 - change if higher else 1 + change, 0.0, higher)
    return Trigger(
        name,
        relative,
        worse,
        _TRIGGER_BAR,
        worse >= _TRIGGER_BAR and (relative > change or evidence_against(null) >= _TRIGGER_BAR),
    )


_ADVICE = {
    "empathy": "Empathy is below its threshold. Check the states in which the version intervenes, or roll it back.",
    "false_intervention": "People dismiss too many interventions. Lower the intervention rate, or roll the version back.",
    "latency": "Decisions are slow. Check the database and the number of web workers.",
    "reward_stability": "Reward is lower than in the comparison. Train on the newest outcomes, or roll the version back.",
}


def _recommendations(
    state: HealthStatus, metrics: tuple[Metric, ...], triggers: tuple[Trigger, ...], evidence: Evidence
) -> tuple[str, ...]:
    advice = [_ADVICE[m.name] for m in metrics if m.verdict == "beyond"]
    advice += [
        f"The trigger {t.name.replace('_', ' ')} fired, so the version is rolled back." for t in triggers if t.fires
    ]
    undecided = [m for m in metrics if m.verdict == "too_few"]
    if undecided:
        counts = ", ".join(f"{m.name.replace('_', ' ')} ({m.n} of {m.minimum_n})" for m in undecided)
        advice.append(f"There is not enough data yet for {counts}. The version is not known to be good.")
    if evidence.holdback is None:
        advice.append(
            "Nobody is held back, so relative changes cannot be measured. Deploy the next version with a holdback."
        )
    elif not evidence.holdback.arm.empathy.size and evidence.arm.empathy.size >= LEAST_PEOPLE_SEEN:
        advice.append(
            "The holdback has had no interventions, so empathy and false interventions have only their thresholds to meet."
        )
    if state == "healthy" and not undecided:
        advice.append("Every metric is within its threshold. No action is needed.")
    return tuple(advice)
