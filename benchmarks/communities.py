"""Communities that health looks at: people in two arms who stay, or are new every week, and what they give each week.

A person has a mean of their own for good; runs are many communities at once. Arrays are (runs, blocks, people of a block).
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
INTERVENTIONS = 2  # a person and week
A_BLOCK = 19  # of the others, for one who is held back: 5%


@dataclass(frozen=True)
class Metric:
    """What a trigger compares. ``change``: by how much of the holdback's mean it must be worse, as measured."""

    name: str
    stakes: tuple[float, ...]
    prior: float
    change: float
    higher: bool

    def week(self, rng: np.random.Generator, means: Floats) -> Floats:
        """One value a person: a share of their interventions, or the mean of ratings in five steps; neither is biased."""
        steps = INTERVENTIONS * (4 if self.higher else 1)
        return np.asarray(rng.binomial(steps, means) / steps)

    def path(self, ours: Floats, theirs: Floats) -> Floats:
        """(runs, blocks) log evidence that ours is worse, after each block."""
        return log_paired_path(ours, theirs, NullHypothesis(higher_is_better=self.higher), self.stakes, self.prior)

    def fires(self, ours: Floats, theirs: Floats, log_weight: float) -> Bools:
        """(runs,) Proven to be worse, and worse by the amount."""
        now, before = ours.mean(axis=(1, 2)), theirs.mean(axis=(1, 2))
        far = now < before * (1 - self.change) if self.higher else now > before * (1 + self.change)
        return np.asarray(far & (self.path(ours, theirs)[:, -1] + log_weight >= BAR))

    def beyond(self, ours: Floats, log_weight: float) -> Bools:
        """(runs,) Proven to be beyond the threshold."""
        values = ours.reshape(len(ours), -1)
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
    """``held`` people a run against nineteen times as many. From week ``onset`` on ours have the mean ``worse``."""

    metric: Metric
    held: int
    mean: float
    spread: float
    worse: float | None = None
    onset: int = 1
    lasting: bool = True

    def weeks(self, rng: np.random.Generator, runs: int, weeks: int) -> Iterator[tuple[Floats, Floats]]:
        """(runs, held, 19) and (runs, held, 1) values of each week."""
        arms = self._people(rng, runs)
        for week in range(1, weeks + 1):
            ours, theirs = arms if self.lasting else self._people(rng, runs)
            if self.worse is not None and week >= self.onset:
                ours = _moved(ours, self.mean, self.worse)
            yield self.metric.week(rng, ours), self.metric.week(rng, theirs)

    def _people(self, rng: np.random.Generator, runs: int) -> tuple[Floats, Floats]:
        concentration = self.mean * (1 - self.mean) / self.spread**2 - 1
        a, b = self.mean * concentration, (1 - self.mean) * concentration
        ours, theirs = (rng.beta(a, b, (runs, self.held, n)) for n in (A_BLOCK, 1))
        return ours, theirs


def _moved(means: Floats, mean: float, to: float) -> Floats:
    """People of another mean, each of whom is as far on the way to it."""
    return means * (to / mean) if to < mean else 1 - (1 - means) * ((1 - to) / (1 - mean))


def weights(weeks: int) -> tuple[list[float], list[float]]:
    """Log weights of the bets begun in each week and in each span of weeks, as health has them."""
    begun = CohortSeries(np.zeros(weeks), starts=tuple(range(weeks)), closed=weeks).families
    return [s.log_weight for s in begun[0]], [s.log_weight for s in begun[1]]


@dataclass
class Span:
    """Sums of the weeks of a span, whose means are a bet of their own when it is over."""

    ours: Floats | float = 0.0
    theirs: Floats | float = 0.0
    count: int = 0

    def add(self, ours: Floats, theirs: Floats) -> tuple[Floats, Floats] | None:
        """Means of a span that this week has ended."""
        self.ours, self.theirs, self.count = self.ours + ours, self.theirs + theirs, self.count + 1
        if self.count < SPAN:
            return None
        means = np.asarray(self.ours / SPAN), np.asarray(self.theirs / SPAN)
        self.ours, self.theirs, self.count = 0.0, 0.0, 0
        return means


def false_alarms(community: Community, rng: np.random.Generator, runs: int, weeks: int) -> Bools:
    """(runs,) Whether the trigger of arms of one mean is ever proven, at any block of any week or span."""
    of_weeks, of_spans = weights(weeks)
    alarmed, span, spans = np.zeros(runs, dtype=bool), Span(), iter(of_spans)
    for (ours, theirs), weight in zip(community.weeks(rng, runs, weeks), of_weeks, strict=True):
        alarmed |= community.metric.path(ours, theirs).max(axis=1) + weight >= BAR
        means = span.add(ours, theirs)
        if means is not None:
            alarmed |= community.metric.path(*means).max(axis=1) + next(spans) >= BAR
    return alarmed


def naive_alarms(community: Community, rng: np.random.Generator, runs: int, weeks: int) -> Bools:
    """(runs,) The same with bets that run on and take each week's values for those of new people."""
    arms = [np.concatenate(values, axis=1) for values in zip(*community.weeks(rng, runs, weeks), strict=True)]
    alarmed = np.zeros(runs, dtype=bool)
    for week, weight in enumerate(weights(weeks)[0]):
        since = [arm[:, week * community.held :] for arm in arms]
        alarmed |= community.metric.path(*since).max(axis=1) + weight >= BAR
    return alarmed


@dataclass(frozen=True)
class Found:
    """(runs,) Weeks of a fault until it is found, infinite where it is not: by the trigger, by its bets of weeks alone, and as a
    metric beyond its threshold.
    """

    trigger: Floats
    weeks_alone: Floats
    threshold: Floats


def found_after(community: Community, rng: np.random.Generator, runs: int, weeks: int) -> Found:
    """On people who last, looked at at weeks' ends. A span is looked at a week after its end, when all of it is closed."""
    of_weeks, of_spans = weights(weeks)
    found = Found(*(np.full(runs, np.inf) for _ in range(3)))
    span, spans, ended, metric = Span(), iter(of_spans), None, community.metric
    for week, (ours, theirs) in enumerate(community.weeks(rng, runs, weeks), start=1):
        fires, beyond = metric.fires(ours, theirs, of_weeks[week - 1]), metric.beyond(ours, of_weeks[week - 1])
        _first(found.weeks_alone, fires, week - community.onset + 1)
        if ended is not None:
            weight = next(spans)
            fires, beyond = fires | metric.fires(*ended, weight), beyond | metric.beyond(ended[0], weight)
        _first(found.trigger, fires, week - community.onset + 1)
        _first(found.threshold, beyond, week - community.onset + 1)
        ended = span.add(ours, theirs)
    return found


def _first(after: Floats, now: Bools, weeks: int) -> None:
    after[np.isinf(after) & now] = weeks


def found_after_new(community: Community, rng: np.random.Generator, runs: int, weeks: int) -> Floats:
    """(runs,) The same where people are new every week: weeks until the first bet, which goes on, proves it."""
    arms = [np.concatenate(values, axis=1) for values in zip(*community.weeks(rng, runs, weeks), strict=True)]
    proven = community.metric.path(*arms) + weights(weeks)[0][0] >= BAR
    return np.where(proven.any(axis=1), proven.argmax(axis=1) // community.held + 1, np.inf)


def above(count: int, runs: int) -> float:
    """Upper 95% bound of a rate."""
    return 1.0 if count == runs else float(stats.beta.ppf(0.95, count + 1, runs - count))


def below(count: int, runs: int) -> float:
    """Lower 95% bound of a rate."""
    return 0.0 if not count else float(stats.beta.ppf(0.05, count, runs - count + 1))
