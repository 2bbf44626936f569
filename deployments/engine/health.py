"""From stored evidence to a state of health: a pure function, so that every verdict can be computed again.

The blueprint's four metrics against their thresholds. *Beyond* means proven: the anytime-valid bound lies beyond the threshold; a
point estimate looked at every minute would fire on noise. States count metrics: none healthy, one or two degraded, three or
more critical. Relative triggers compare with the people who go on with what served before, at the same time; latency too, minute
by minute, so that a slow database takes nothing back.
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

FALSE_ROLLBACK_ALPHA = 0.01  # of a false "beyond", each metric, over all looks at a deployment together
HEALTH_METRICS = 4
LEAST_PEOPLE_SEEN = 20
LEAST_REQUESTS = 200
_LEAST_COMPARED = LEAST_PEOPLE_SEEN // 2
_BAR = math.log(
    HEALTH_METRICS / FALSE_ROLLBACK_ALPHA
)  # of a trigger: all of them together err in at most ``ALPHA`` of deployments
NEAR_NOTHING = 0.02
SLOWER = 0.005  # of a minute's requests over 250 ms, beyond the holdback's
MetricVerdict = Literal["ok", "beyond", "too_few"]
HealthStatus = Literal["healthy", "degraded", "critical"]
EMPTY = CohortSeries(np.zeros(0))


@dataclass(frozen=True)
class Arm:
    """One value a person, epoch and metric: empathy over interventions, share harmful in [0, 1], reward in the loop's units."""

    empathy: CohortSeries = EMPTY
    false_intervention: CohortSeries = EMPTY
    reward: CohortSeries = EMPTY


@dataclass(frozen=True)
class Latency:
    """Answered requests of this hour and the one before, how many took longer than 200 ms, and that as shares of each minute's.

    ``minutes``: an epoch is an hour of the deployment.
    """

    requests: int = 0
    over_200_ms: int = 0
    minutes: CohortSeries = EMPTY


@dataclass(frozen=True)
class Holdback:
    """Those who go on with what served before: their arm, the units of a block, and shares of requests over 250 ms in the
    minutes in which both arms were answered (``None``: latency is not this head's).
    """

    arm: Arm
    blocks: PairedBlocks
    slow_minutes: tuple[CohortSeries, CohortSeries] | None = None


@dataclass(frozen=True)
class Evidence:
    """All that a verdict uses. ``margin``: what reward may fall, in the loop's units; ``holdback`` None: nobody is held back."""

    arm: Arm
    holdback: Holdback | None
    latency: Latency
    margin: float


@dataclass(frozen=True)
class Metric:
    """One metric as it is stored and shown: the mean over people of each one's mean, what is proven of it (``bounds``), and n
    people, or requests of the latency.
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
    """A relative trigger: of the bet that says most, how far the version is from the holdback, weighted log evidence that it is
    worse, and whether it fires.
    """

    name: str
    value: float | None
    log_evidence: float
    bar: float
    fires: bool


@dataclass(frozen=True)
class HealthReport:
    """State, with everything that it rests on, and sentences that an operator can act on."""

    state: HealthStatus
    metrics: tuple[Metric, ...]
    triggers: tuple[Trigger, ...]
    recommendations: tuple[str, ...] = field(default=())

    @property
    def must_roll_back(self) -> bool:
        return self.state == "critical" or any(t.fires for t in self.triggers)

    def as_json(self) -> dict[str, list[Any]]:
        return {
            "metrics": [asdict(m) for m in self.metrics],
            "triggers": [asdict(t) for t in self.triggers],
            "recommendations": list(self.recommendations),
        }


def health_of(evidence: Evidence) -> HealthReport:
    """Judge a version by what its people lived."""
    arm = evidence.arm
    metrics = (
        _of_people("empathy", arm.empathy, EMPATHY_BAR, low_is_bad=True),
        _of_people("false_intervention", arm.false_intervention, FALSE_INTERVENTION_BAR, low_is_bad=False),
        _latency(evidence.latency),
        _stability(evidence),
    )
    beyond = sum(m.verdict == "beyond" for m in metrics)
    state: HealthStatus = "critical" if beyond >= 3 else "degraded" if beyond else "healthy"
    triggers = _triggers(evidence)
    return HealthReport(state, metrics, triggers, _recommendations(state, metrics, triggers, evidence))


def _of_people(name: str, series: CohortSeries, bar: float, *, low_is_bad: bool) -> Metric:
    return _bounded(name, series, bar, series.mean, series.size, LEAST_PEOPLE_SEEN, low_is_bad=low_is_bad)


def _latency(latency: Latency) -> Metric:
    """Share of requests over 200 ms against 5%: the 95th percentile is at most 200 ms exactly when the share is at most that.

    A minute is one value, for requests of one minute are slow together.
    """
    n, slow = latency.requests, latency.over_200_ms
    share = slow / n if n else None
    return _bounded("latency", latency.minutes, SLOW_SHARE, share, n, LEAST_REQUESTS, low_is_bad=False)


def _bounded(
    name: str, series: CohortSeries, bar: float, value: float | None, n: int, least: int, *, low_is_bad: bool
) -> Metric:
    low, high = bounds(series, FALSE_ROLLBACK_ALPHA)
    proven = (strongest_below if low_is_bad else strongest_above)(series, bar) >= math.log(1 / FALSE_ROLLBACK_ALPHA)
    verdict: MetricVerdict = "too_few" if n < least else "beyond" if proven else "ok"
    return Metric(name, value, low, high, bar, n, least, verdict)


def _stability(evidence: Evidence) -> Metric:
    """Mean reward of a person minus that of the holdback's people; without them, of later epochs minus the first.

    Beyond only when it is lower by more than the margin: a version is deployed because it is better than what served before.
    The two arms' bounds hold together whoever is in them: with its own beginning it is compared on the same people.
    """
    ours, margin = evidence.arm.reward, evidence.margin
    theirs = evidence.holdback.arm.reward if evidence.holdback is not None else EMPTY
    if theirs.size >= _LEAST_COMPARED:
        pairs: Iterable[tuple[UnitSample, UnitSample]] = zip(ours.samples, theirs.samples, strict=True)
    else:
        pairs = _with_the_beginning(ours)
        ours, theirs = ours.epochs(1), ours.epochs(0, 1)
    n = min(ours.size, theirs.size)
    value = ours.mean - theirs.mean if ours.mean is not None and theirs.mean is not None else None
    between = [_difference(a, b) for a, b in pairs]
    low, high = max((d[0] for d in between), default=-math.inf), min((d[1] for d in between), default=math.inf)
    verdict: MetricVerdict = "too_few" if n < _LEAST_COMPARED else "beyond" if high < -margin else "ok"
    return Metric("reward_stability", value, _finite(low), _finite(high), margin, n, _LEAST_COMPARED, verdict)


def _with_the_beginning(series: CohortSeries) -> list[tuple[UnitSample, UnitSample]]:
    """Each later epoch with the first, each later span with the first span."""
    weeks, spans = series.families
    return [(s, f[0].begin(n)) for f, n in ((weeks, 1), (spans, SPAN)) for s in f[1:]]


def _difference(ours: UnitSample, theirs: UnitSample) -> tuple[float, float]:
    """Bounds of the difference of two means; each arm has half of its bet's share of the false-alarm rate.

    Both are given the larger of the two deviations: twenty people may by chance be all alike.
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
    found = (
        _paired("empathy_drop", ours.empathy, theirs.empathy, blocks, higher=True),
        _paired("false_intervention_rise", ours.false_intervention, theirs.false_intervention, blocks, higher=False),
    )
    slow = evidence.holdback.slow_minutes
    return found if slow is None else (*found, _slower(*slow))


def _paired(name: str, ours: CohortSeries, theirs: CohortSeries, blocks: PairedBlocks, *, higher: bool) -> Trigger:
    bets = [_bet(name, y, z, blocks, higher=higher) for y, z in zip(ours.samples, theirs.samples, strict=True)]
    return _strongest(bets)


def _slower(ours: CohortSeries, theirs: CohortSeries) -> Trigger:
    """More requests over 250 ms than the holdback has in the same minutes, by more than .005; on evidence alone."""
    null = NullHypothesis(1.0, SLOWER, higher_is_better=False)
    bets = []
    for y, z in zip(ours.samples, theirs.samples, strict=True):
        worse = log_paired(y, z, null, PairedBlocks(1, 1), LATENCY_STAKES, 0.0)
        value = float(y.values.mean() - z.values.mean()) if len(y.values) else None
        bets.append(Trigger("latency_over_250_ms", value, worse, _BAR, worse >= _BAR))
    return _strongest(bets)


def _strongest(bets: list[Trigger]) -> Trigger:
    return max(bets, key=lambda bet: (bet.fires, bet.log_evidence))


def _bet(name: str, ours: UnitSample, theirs: UnitSample, blocks: PairedBlocks, *, higher: bool) -> Trigger:
    """Fires when it is proven to be worse at all, and is worse by the blueprint's amount, as it looks or as is proven too.

    A share that is next to nothing in the holdback has no ratio: then it must be proven to be worse by .02 of the people.
    """

    def against(null: NullHypothesis) -> float:
        stakes, prior = (EMPATHY_STAKES, EMPATHY_BAR) if higher else (FALSE_INTERVENTION_STAKES, FALSE_INTERVENTION_BAR)
        return log_paired(ours, theirs, null, blocks, stakes, prior)

    worse = against(NullHypothesis(higher_is_better=higher))
    if not len(ours.values) or not len(theirs.values):
        return Trigger(name, None, worse, _BAR, False)
    now, before = float(ours.values.mean()), float(theirs.values.mean())
    if not higher and before < NEAR_NOTHING:
        proven = worse >= _BAR and against(NullHypothesis(1.0, NEAR_NOTHING, higher)) >= _BAR
        return Trigger(name, None, worse, _BAR, proven)
    change = EMPATHY_DROP if higher else FALSE_INTERVENTION_RISE
    relative = (before - now) / max(before, 1e-9) * (1 if higher else -1)
    null = NullHypothesis(1 - change if higher else 1 + change, 0.0, higher)
    return Trigger(name, relative, worse, _BAR, worse >= _BAR and (relative > change or against(null) >= _BAR))


_ADVICE = {
    "empathy": "People rate what it does lower than they should: look at the states in which it intervenes, or take it back.",
    "false_intervention": "It intervenes where people dismiss it: lower the intervention rate, or take it back.",
    "latency": "Decisions are slow: look at the database and at the number of web workers.",
    "reward_stability": "Reward is lower than that of what served before: train on the newest outcomes, or take it back.",
}


def _recommendations(
    state: HealthStatus, metrics: tuple[Metric, ...], triggers: tuple[Trigger, ...], evidence: Evidence
) -> tuple[str, ...]:
    said = [_ADVICE[m.name] for m in metrics if m.verdict == "beyond"]
    said += [f"The trigger {t.name.replace('_', ' ')} fired: the version goes back." for t in triggers if t.fires]
    few = [m for m in metrics if m.verdict == "too_few"]
    if few:
        named = ", ".join(f"{m.name.replace('_', ' ')} ({m.n} of {m.minimum_n})" for m in few)
        said.append(f"Too few yet to judge {named}: that nothing is proven against it is no praise.")
    if evidence.holdback is None:
        said.append("Nobody is held back, so relative drops cannot be seen: deploy with a holdback.")
    elif not evidence.holdback.arm.empathy.size and evidence.arm.empathy.size >= LEAST_PEOPLE_SEEN:
        said.append(
            "What is held back has not spoken to anybody, so only the thresholds judge empathy and false interventions."
        )
    if state == "healthy" and not few:
        said.append("Everything within its thresholds; go on watching.")
    return tuple(said)
