"""Live rollouts in stages as the product sees them: people who stay, weeks, decisions, and the product's own verdicts.

One run is one rollout. A person keeps their place in the ramp, so the candidate's people only grow in number. Rewards have a
past of four weeks. What moves both arms (an incident, weekends, a drift, a recovery) is no fault of the candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.arrays import Floats
from deployments.engine.evidence.slow_minutes import SlowMinutes
from deployments.engine.health.evidence import Evidence, Latency, LivedWeeks
from deployments.engine.health.triggers import Trigger, triggers_of
from deployments.engine.rollouts.arm_values import arm_values
from deployments.engine.rollouts.staged import CanaryTerms, StageFacts, canary_verdict

RolloutTimes = Literal["calm", "incident", "weekend", "drift", "recovery"]
ROLLOUT_TIMES: tuple[RolloutTimes, ...] = ("calm", "incident", "weekend", "drift", "recovery")
_PAST = 40  # decisions before the rollout
_SHOCK, _WEEKEND, _DRIFT = 0.5, 0.3, 0.4
_MINUTES, _REQUESTS = 600, 40
_ANSWERS = 0.9


@dataclass(frozen=True)
class Community:
    """Describe the people of a rollout, and what the candidate changes for them.

    ``decisions``, ``interventions``: means a person and week. ``speaks``: how often the candidate speaks, relative to the other.
    ``reward``: what it adds, in scales. ``harm``: its share of false interventions, against ``base_harm``. ``empathy``: its
    relative change.
    """

    people: int = 1_000
    decisions: float = 10.0
    interventions: float = 2.0
    speaks: float = 1.0
    times: RolloutTimes = "calm"
    reward: float = 0.0
    harm: float = 0.08
    base_harm: float = 0.08
    empathy: float = 0.0


class Life:
    """Hold one community's lasting traits, and draw its weeks as they come."""

    def __init__(self, community: Community, rng: np.random.Generator, weeks: int) -> None:
        """Draw people's places in the ramp, their traits and their past."""
        self.community, self.rng, self.weeks, n = community, rng, weeks, community.people
        self.place = rng.random(n)
        self.empathy = np.clip(rng.normal(0.8, 0.1, n), 0, 1)
        self.harm = rng.beta(0.08 * 15, 0.92 * 15, n) / 0.08
        self.often = rng.gamma(4.0, 0.25, n)
        self.value = rng.normal(0, 0.25, n)
        before = self.value + rng.normal(0, 1 / np.sqrt(_PAST), n)
        self.past = dict(enumerate(before.tolist()))
        self.begin = int(rng.integers(1, max(2, weeks)))
        self.rows: list[Floats] = []

    def week(self, week: int, share: float) -> None:
        """Live one week in which this share of people meets the candidate."""
        c, rng, n = self.community, self.rng, self.community.people
        ours = self.place < share
        shown = rng.poisson(c.interventions * self.often * np.where(ours, c.speaks, 1.0))
        decided = np.maximum(shown, rng.poisson(c.decisions, n))
        worse = self._worse(week, shown)
        harm = np.clip(self.harm * np.where(ours, c.harm, c.base_harm) + worse, 0, 1)
        answers = np.clip(_ANSWERS - worse / 2, 0.05, 1)
        harmed = rng.binomial(shown, harm)
        harmful, good = rng.binomial(harmed, answers), rng.binomial(shown - harmed, answers)
        mean = np.clip(self.empathy * np.where(ours, 1 + c.empathy, 1.0) - worse, 0, 1)
        empathy = np.clip(rng.normal(mean, 0.15 / np.sqrt(np.maximum(harmful + good, 1))), 0, 1)
        reward = decided * (self.value + c.reward * ours) + rng.normal(0, np.sqrt(decided))
        rated = harmful + good
        rows = [np.full(n, week), np.arange(n), ours, shown, rated, harmful, rated, rated * empathy, decided, reward]
        self.rows.append(np.stack(rows, axis=1).astype(float)[decided > 0])

    def _worse(self, week: int, shown: np.ndarray) -> Floats:
        times, n = self.community.times, self.community.people
        if times == "weekend":
            return np.asarray(_WEEKEND * self.rng.binomial(shown, 2 / 7) / np.maximum(shown, 1))
        move = {
            "incident": _SHOCK * (week == self.begin), "recovery": _SHOCK * (week <= self.begin),
            "drift": _DRIFT * week / self.weeks,
        }.get(times, 0.0)  # fmt: skip
        return np.full(n, move)

    def lived(self, stage_starts: tuple[int, ...]) -> LivedWeeks:
        """Return all weeks so far as the product reads them."""
        table = np.concatenate(self.rows)
        week, person = (table[:, i].astype(np.int64) for i in (0, 1))
        return LivedWeeks(week, person, table[:, 2] > 0, table[:, 3:], 1, int(week.max()), stage_starts)

    def triggers(self, stage_starts: tuple[int, ...], minutes: SlowMinutes | None = None) -> tuple[Trigger, ...]:
        """Return the product's guardrails over the whole rollout so far."""
        return triggers_of(Evidence(self.lived(stage_starts), "trial", Latency(), 0.05, minutes))


def slow_minutes(rng: np.random.Generator, share: float, times: RolloutTimes) -> SlowMinutes:
    """Draw two days of ten hours in which .5% of requests are slow in both arms, and now and then whole minutes are."""
    ours = rng.binomial(_REQUESTS, share, _MINUTES)
    slow = np.where(rng.random(_MINUTES) < (0.05 if times == "incident" else 0.0), 0.5, 0.005)
    theirs = _REQUESTS - ours
    counts = np.stack([ours, rng.binomial(ours, slow), theirs, rng.binomial(theirs, slow)])
    return SlowMinutes.of(counts, (0, _MINUTES // 2))


_RATES = ((2.0, 1.0), (5.0, 2.0), (10.0, 7.0), (20.0, 20.0))  # decisions and interventions a week
_FIRST_SHARES = (0.03, 0.05, 0.1, 0.2)


def harmless(task: tuple[int, int]) -> dict[str, Any]:
    """Live one rollout of a candidate that changes nothing, for eight weeks: two stages, then everybody but a holdback.

    The task: number of the world and seed. Proofs are kept at every look, so one evaluation at the end sees them all.
    """
    world, seed = task
    rng = np.random.default_rng([seed, 1, world])
    first, times = _FIRST_SHARES[world % 4], ROLLOUT_TIMES[world // 4 % 5]
    decisions, interventions = _RATES[world // 20 % 4]
    community = Community(
        int(rng.choice([200, 400, 800])), decisions, interventions, 0.6 if world % 3 == 0 else 1.0, times
    )
    life = Life(community, rng, 8)
    for week in range(1, 9):
        life.week(week, (first, 0.5, 1.0 - first)[min((week - 1) // 2, 2)])
    found = life.triggers((1, 3, 5), slow_minutes(rng, first, times))
    return {"times": times, "first": first, "proven": [t.name for t in found if t.proven]}


CASES: dict[str, Community] = {
    "better": Community(reward=0.05),
    "equal": Community(),
    "worse": Community(reward=-0.05),
    "more false interventions": Community(reward=0.05, harm=0.12),
    "less empathy": Community(reward=0.05, empathy=-0.15),
}


def rollout(task: tuple[str, int, float, int]) -> dict[str, Any]:
    """Live one rollout of a candidate whose gate was not sure, until the product ends it.

    The task: name of the case, people, interventions a week and seed.
    """
    name, people, interventions, seed = task
    terms = CanaryTerms(people=people, proven_gate=False)
    rng = np.random.default_rng([seed, 2, list(CASES).index(name), int(interventions)])
    weeks = (1 + terms.extensions) * terms.dwell_weeks * len(terms.stages)
    life = Life(_sized(CASES[name], people, interventions), rng, weeks)
    stage, extended, closed, week = 0, 0, 0, 0
    starts: tuple[int, ...] = (1,)
    while True:
        week, closed = week + 1, closed + 1
        life.week(week, terms.share(stage))
        if closed < terms.dwell_weeks * (1 + extended):
            continue  # a proof in between stays a proof
        verdict = canary_verdict(terms, _facts(life, terms, stage, extended, closed, starts))
        if verdict.step == "advance":
            stage, extended, closed, starts = stage + 1, 0, 0, (*starts, week + 1)
        elif verdict.step == "extend":
            extended += 1
        else:
            return {"case": name, "people": people, "interventions": interventions, "step": verdict.step,
                    "label": verdict.label, "weeks": week, "stage": stage}  # fmt: skip


def _sized(community: Community, people: int, interventions: float) -> Community:
    return Community(**{**vars(community), "people": people, "interventions": interventions})


def _facts(
    life: Life, terms: CanaryTerms, stage: int, extended: int, closed: int, starts: tuple[int, ...]
) -> StageFacts:
    weeks = life.lived(starts)
    ours, theirs = (arm_values(weeks, ours=arm, first=starts[-1], past=life.past) for arm in (True, False))
    candidate = int((life.place < terms.share(stage)).sum())
    return StageFacts(
        stage, closed, extended, ours, theirs, life.triggers(starts), assigned=(candidate, len(life.place) - candidate)
    )  # fmt: skip
