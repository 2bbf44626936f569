"""Draw streams of new people who each give one value, for bets and for the rules of other tools, all runs at once.

A candidate serves 10% of the people, or as many as a ramp says. What moves both arms (an incident, weekends, a drift) is part of
the world and no fault of the candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.arrays import Bools, Floats

StreamMetric = Literal["empathy", "empathy_of_one_spread", "harm", "harm_of_many", "slow"]
StreamTimes = Literal["calm", "incident", "weekend", "drift"]
DAY = 100  # people of both arms
BASES: dict[StreamMetric, float] = {
    "empathy": 0.7,
    "empathy_of_one_spread": 0.7,
    "harm": 0.08,
    "harm_of_many": 0.08,
    "slow": 0.005,
}
_SD_RATING, _SD_PEOPLE, _RATINGS = 0.15, 0.10, 2
_ALIKE = 8.0  # concentration of people's own shares of harm
_SHOCK, _WEEKEND, _DRIFT = 0.5, 0.3, 0.4


@dataclass(frozen=True)
class Stream:
    """Describe what people of one metric live: its mean under both arms, and what moves both.

    ``fault``: mean under the candidate; None for no fault. ``share``: the candidate's share of people, and ``ramp``: after
    so many people it is a half. ``onset``: the first person whom the fault reaches.
    """

    metric: StreamMetric
    fault: float | None = None
    share: float = 0.1
    ramp: int | None = None
    onset: int = 0
    times: StreamTimes = "calm"


def arms_of(stream: Stream, rng: np.random.Generator, runs: int, people: int) -> Bools:
    """Draw which people meet the candidate, (runs, people)."""
    number = np.arange(people)
    share = np.where(number < (people if stream.ramp is None else stream.ramp), stream.share, 0.5)
    return np.asarray(rng.random((runs, people)) < share)


def values_of(stream: Stream, rng: np.random.Generator, ours: Bools) -> Floats:
    """Draw one value of each person, (runs, people)."""
    runs, people = ours.shape
    base, number = BASES[stream.metric], np.arange(people)
    hit = ours & (number >= stream.onset)
    mean = np.where(hit, base if stream.fault is None else stream.fault, base)
    worse = _moves(stream, rng, runs, people)
    if stream.metric == "empathy":  # people differ, a fault takes a part of what each one has, and ratings are noisy
        own = np.clip(rng.normal(base, _SD_PEOPLE, ours.shape), 0, 1) * mean / base
        return np.clip(rng.normal(own - worse, _SD_RATING / np.sqrt(_RATINGS)), 0, 1)
    if stream.metric == "empathy_of_one_spread":  # people are alike, and a fault does not narrow their spread
        return np.clip(rng.normal(mean, _SD_RATING) - worse, 0, 1)
    mean = np.clip(mean + worse * (0.2 if stream.metric == "slow" else 1.0), 0, 1)
    if stream.metric != "harm_of_many":
        return np.asarray(rng.random(ours.shape) < mean, dtype=float)
    count = rng.integers(2, 15, ours.shape)
    own = rng.beta(np.maximum(mean, 1e-3) * _ALIKE, np.maximum(1 - mean, 1e-3) * _ALIKE)
    return np.asarray(rng.binomial(count, own) / count)


def _moves(stream: Stream, rng: np.random.Generator, runs: int, people: int) -> Floats:
    """Return how much worse both arms are at each person."""
    number = np.arange(people)
    if stream.times == "incident":
        begin = rng.integers(0, people, (runs, 1))
        return np.asarray(_SHOCK * ((number >= begin) & (number < begin + 3 * DAY)))
    if stream.times == "weekend":
        return np.broadcast_to(_WEEKEND * (number // DAY % 7 >= 5), (runs, people))
    drift = _DRIFT * number / people if stream.times == "drift" else 0.0 * number
    return np.broadcast_to(drift, (runs, people))
