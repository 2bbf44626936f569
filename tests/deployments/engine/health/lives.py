"""People's lived weeks for the tests of health: drawn from means, with the spread of real ratings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.arrays import Floats
from deployments.engine.evidence.slow_minutes import MinuteShares, SlowMinutes
from deployments.engine.health.evidence import ArmKind, Evidence, Latency, LivedWeeks


@dataclass(frozen=True)
class Arm:
    """People of one arm: means of empathy and reward, the share of harm, and how often they answer or report harm."""

    people: int
    empathy: float = 0.85
    harm: float = 0.04
    reward: float = 0.5
    answers: float = 0.9
    reports: float | None = None
    differ: float = 0.08
    each_week: int = 4


GOOD, BEFORE = Arm(760), Arm(40)
FAST = Latency(10_000, 5, MinuteShares(np.full(60, 0.0005)))
SLOW = Latency(10_000, 2_000, MinuteShares(np.full(60, 0.2)))


def lived(arms: list[tuple[bool, list[Arm]]], rng: np.random.Generator) -> LivedWeeks:
    """What each arm (ours or not) lived in each week: the people of an arm stay."""
    rows: list[Floats] = []
    first = 0
    weeks = max(len(arm) for _, arm in arms)
    for ours, arm in arms:
        who = np.arange(arm[0].people) + first
        first += len(who)
        own = rng.normal(0, arm[0].differ, len(who))
        for week, now in enumerate(arm, start=1):
            rows.append(_week(week, who, ours, own, now, rng))
    table = np.concatenate(rows) if rows else np.zeros((0, 10))
    return LivedWeeks(
        table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2] > 0, table[:, 3:], 1, weeks
    )


def _week(week: int, who: np.ndarray, ours: bool, own: Floats, arm: Arm, rng: np.random.Generator) -> Floats:
    n, count = len(who), arm.each_week
    harmed = rng.binomial(count, np.clip(arm.harm + own / 4, 0, 1))
    reported = rng.binomial(harmed, arm.answers if arm.reports is None else arm.reports)
    answered = reported + rng.binomial(count - harmed, arm.answers)
    empathy = np.clip(rng.normal(np.clip(arm.empathy + own, 0, 1), 0.15 / np.sqrt(count)), 0, 1)
    reward = rng.normal(arm.reward + own, 0.1, n)
    every = np.full(n, float(count))
    return np.stack(
        [
            np.full(n, week),
            who,
            np.full(n, ours),
            every,
            answered,
            reported,
            every,
            count * empathy,
            every,
            count * reward,
        ],
        axis=1,
    ).astype(float)


def evidence(
    ours: list[Arm], theirs: list[Arm], *, kind: ArmKind | None = "holdback", latency: Latency = FAST, seed: int = 1,
    slow: SlowMinutes | None = None, margin: float = 0.05,
) -> Evidence:  # fmt: skip
    weeks = lived([(True, ours), *([(False, theirs)] if theirs else [])], np.random.default_rng(seed))
    return Evidence(weeks, kind if theirs else None, latency, margin, slow)


def first_days_of(found: LivedWeeks) -> LivedWeeks:
    """The same values as people's first days, who came in no order of arms, while no week is closed."""
    came = np.random.default_rng(2).permutation(len(found.week))
    days = np.zeros(len(came), dtype=int)
    return replace(found, week=days, person=found.person[came], ours=found.ours[came], sums=found.sums[came], closed=0)
