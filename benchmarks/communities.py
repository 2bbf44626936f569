"""Simulate the communities that health checks observe: people in two arms, lasting or new every week, with weekly values.

Each person has a constant mean. One run is one community, and all runs are computed at once. Arrays have the shape
(runs, blocks, people per block).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from core.arrays import Bools, Floats
from deployments.engine.evidence.cohort_series import SPAN, CohortSeries
from deployments.engine.evidence.e_process import (
    EMPATHY_STAKES,
    FALSE_INTERVENTION_STAKES,
    NullHypothesis,
    log_evidence_above,
    log_evidence_below,
    log_paired_path,
)
from deployments.engine.health import FALSE_ROLLBACK_ALPHA, HEALTH_METRICS
from loops.engine.thresholds import EMPATHY_BAR, EMPATHY_DROP, FALSE_INTERVENTION_BAR, FALSE_INTERVENTION_RISE

BAR = float(np.log(HEALTH_METRICS / FALSE_ROLLBACK_ALPHA))
INTERVENTIONS = 2  # per person and week
A_BLOCK = 19  # people under the deployed version per person in the holdback, which is therefore 5%


@dataclass(frozen=True)
class Metric:
    """Describe a metric that a trigger compares. ``change`` is the measured deterioration, as a share of the holdback's mean."""

    name: str
    stakes: tuple[float, ...]
    prior: float
    change: float
    higher: bool

    def week(self, rng: np.random.Generator, means: Floats) -> Floats:
        """Draw one unbiased value per person: a share of their interventions, or the mean of ratings in five steps."""
        steps = INTERVENTIONS * (4 if self.higher else 1)
        return np.asarray(rng.binomial(steps, means) / steps)

    def path(self, deployed: Floats, control: Floats) -> Floats:
        """Return the (runs, blocks) log evidence after each block that the deployed version is worse than the holdback."""
        return log_paired_path(deployed, control, NullHypothesis(higher_is_better=self.higher), self.stakes, self.prior)

    def fires(self, deployed: Floats, control: Floats, log_weight: float) -> Bools:
        """Return (runs,) flags: the deployed version is proven to be worse, and measured to be worse by ``change``."""
        now, before = deployed.mean(axis=(1, 2)), control.mean(axis=(1, 2))
        far = now < before * (1 - self.change) if self.higher else now > before * (1 + self.change)
        return np.asarray(far & (self.path(deployed, control)[:, -1] + log_weight >= BAR))

    def beyond(self, deployed: Floats, log_weight: float) -> Bools:
        """Return (runs,) flags: the metric is proven to be beyond its threshold."""
        values = deployed.reshape(len(deployed), -1)
        evidence = (
            log_evidence_below(values, EMPATHY_BAR)
            if self.higher
            else log_evidence_above(values, FALSE_INTERVENTION_BAR)
        )
        return np.asarray(evidence + log_weight >= -np.log(FALSE_ROLLBACK_ALPHA))


EMPATHY = Metric("empathy", EMPATHY_STAKES, EMPATHY_BAR, EMPATHY_DROP, True)
FALSE_INTERVENTION = Metric(
    "false intervention", FALSE_INTERVENTION_STAKES, FALSE_INTERVENTION_BAR, FALSE_INTERVENTION_RISE, False
)


@dataclass(frozen=True)
class Community:
    """Describe ``held`` people in the holdback against nineteen times as many under the deployed version.

    From week ``onset`` on, the people under the deployed version have the mean ``worse``. Without ``lasting``, people are new
    every week.
    """

    metric: Metric
    held: int
    mean: float
    spread: float
    worse: float | None = None
    onset: int = 1
    lasting: bool = True

    def weeks(self, rng: np.random.Generator, runs: int, weeks: int) -> Iterator[tuple[Floats, Floats]]:
        """Yield each week's values: (runs, held, 19) under the deployed version and (runs, held, 1) in the holdback."""
        arms = self._people(rng, runs)
        for week in range(1, weeks + 1):
            deployed, control = arms if self.lasting else self._people(rng, runs)
            if self.worse is not None and week >= self.onset:
                deployed = _moved(deployed, self.mean, self.worse)
            yield self.metric.week(rng, deployed), self.metric.week(rng, control)

    def _people(self, rng: np.random.Generator, runs: int) -> tuple[Floats, Floats]:
        concentration = self.mean * (1 - self.mean) / self.spread**2 - 1
        a, b = self.mean * concentration, (1 - self.mean) * concentration
        deployed, control = (rng.beta(a, b, (runs, self.held, n)) for n in (A_BLOCK, 1))
        return deployed, control


def _moved(means: Floats, mean: float, to: float) -> Floats:
    """Shift people's means so that their average becomes ``to``, by the same proportion for each person."""
    return means * (to / mean) if to < mean else 1 - (1 - means) * ((1 - to) / (1 - mean))


def weights(weeks: int) -> tuple[list[float], list[float]]:
    """Return the log weights of the bets begun in each week and in each span of weeks, as in the health checks."""
    begun = CohortSeries(np.zeros(weeks), starts=tuple(range(weeks)), closed=weeks).families
    return [s.log_weight for s in begun[0]], [s.log_weight for s in begun[1]]


@dataclass
class Span:
    """Accumulate the weeks of a span. Its means form a separate bet when it ends."""

    deployed: Floats | float = 0.0
    control: Floats | float = 0.0
    count: int = 0

    def add(self, deployed: Floats, control: Floats) -> tuple[Floats, Floats] | None:
        """Add a week, and return the means of the span if this week ends it."""
        self.deployed, self.control, self.count = self.deployed + deployed, self.control + control, self.count + 1
        if self.count < SPAN:
            return None
        means = np.asarray(self.deployed / SPAN), np.asarray(self.control / SPAN)
        self.deployed, self.control, self.count = 0.0, 0.0, 0
        return means


def false_alarms(community: Community, rng: np.random.Generator, runs: int, weeks: int) -> Bools:
    """Return (runs,) flags: a trigger fires at any block of any week or span, although both arms have the same mean."""
    of_weeks, of_spans = weights(weeks)
    alarmed, span, spans = np.zeros(runs, dtype=bool), Span(), iter(of_spans)
    for (deployed, control), weight in zip(community.weeks(rng, runs, weeks), of_weeks, strict=True):
        alarmed |= community.metric.path(deployed, control).max(axis=1) + weight >= BAR
        means = span.add(deployed, control)
        if means is not None:
            alarmed |= community.metric.path(*means).max(axis=1) + next(spans) >= BAR
    return alarmed


def naive_alarms(community: Community, rng: np.random.Generator, runs: int, weeks: int) -> Bools:
    """Return (runs,) false-alarm flags of naive bets, which continue over weeks and treat each week's values as new people's."""
    arms = [np.concatenate(values, axis=1) for values in zip(*community.weeks(rng, runs, weeks), strict=True)]
    alarmed = np.zeros(runs, dtype=bool)
    for week, weight in enumerate(weights(weeks)[0]):
        since = [arm[:, week * community.held :] for arm in arms]
        alarmed |= community.metric.path(*since).max(axis=1) + weight >= BAR
    return alarmed


@dataclass(frozen=True)
class DetectionWeeks:
    """Hold the (runs,) weeks from onset until a fault is detected, infinite where it is not.

    ``trigger`` uses all bets, ``weeks_alone`` only the weekly bets, and ``threshold`` the metric's absolute threshold.
    """

    trigger: Floats
    weeks_alone: Floats
    threshold: Floats


def detection_weeks(community: Community, rng: np.random.Generator, runs: int, weeks: int) -> DetectionWeeks:
    """Simulate detection on lasting people, checked at the end of each week. A span is checked a week later, once closed."""
    of_weeks, of_spans = weights(weeks)
    detected = DetectionWeeks(*(np.full(runs, np.inf) for _ in range(3)))
    span, spans, ended, metric = Span(), iter(of_spans), None, community.metric
    for week, (deployed, control) in enumerate(community.weeks(rng, runs, weeks), start=1):
        fires, beyond = metric.fires(deployed, control, of_weeks[week - 1]), metric.beyond(deployed, of_weeks[week - 1])
        _first(detected.weeks_alone, fires, week - community.onset + 1)
        if ended is not None:
            weight = next(spans)
            fires, beyond = fires | metric.fires(*ended, weight), beyond | metric.beyond(ended[0], weight)
        _first(detected.trigger, fires, week - community.onset + 1)
        _first(detected.threshold, beyond, week - community.onset + 1)
        ended = span.add(deployed, control)
    return detected


def _first(after: Floats, now: Bools, weeks: int) -> None:
    after[np.isinf(after) & now] = weeks


def detection_weeks_new_people(community: Community, rng: np.random.Generator, runs: int, weeks: int) -> Floats:
    """Return the (runs,) weeks until detection where people are new every week, by the first bet, which continues."""
    arms = [np.concatenate(values, axis=1) for values in zip(*community.weeks(rng, runs, weeks), strict=True)]
    proven = community.metric.path(*arms) + weights(weeks)[0][0] >= BAR
    return np.where(proven.any(axis=1), proven.argmax(axis=1) // community.held + 1, np.inf)


def above(count: int, runs: int) -> float:
    """Return the upper 95% confidence bound of a rate."""
    return 1.0 if count == runs else float(stats.beta.ppf(0.95, count + 1, runs - count))


def below(count: int, runs: int) -> float:
    """Return the lower 95% confidence bound of a rate."""
    return 0.0 if not count else float(stats.beta.ppf(0.05, count, runs - count + 1))
