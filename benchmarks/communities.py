"""Simulate communities that health checks observe: people in two arms, who stay or are new every week, and what they say.

One run is one community, and all runs are computed at once. A person has lasting traits and is spoken to at a rate of their own.
What moves both arms together (an incident, weekends, a drift) is part of the world and no fault of a version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from core.arrays import Bools, Floats

MetricName = Literal["empathy", "false_intervention", "silence"]
Times = Literal["calm", "incident", "weekend", "drift", "recovery"]
_WEEKEND = 2 / 7  # share of a week's interventions
_SHOCK, _WEEKEND_LOSS, _DRIFT = 0.5, 0.3, 0.4  # how far both arms move, on the metric's scale from 0 to 1
_NOISE = 0.15  # standard deviation of one rating
_FEW = 0.05  # share of people whom everything hurts, in worlds with a few of them


@dataclass(frozen=True)
class World:
    """Describe a community and, perhaps, a fault of the watched version.

    ``watched``: share of people under the watched version. ``rate``: mean of interventions a person and week.
    ``speaks``: how often the watched version speaks to its people, relative to the other. ``traits``: how people differ: usual,
    heavy tails, or a few whom everything hurts. ``base``: mean of the metric without a fault; of silence, the share of harm.
    ``fault``: relative change under the watched version from week ``onset`` on. ``hurt``: share of people whom it reaches.
    ``answers``: share of interventions that are answered. ``reports``: share of harm that is reported under the watched version.
    ``new``: people are new every week. ``rotates``: the arm is drawn anew each week.
    """

    metric: MetricName
    people: int
    watched: float
    base: float
    weeks: int = 26
    times: Times = "calm"
    rate: float = 7.0
    speaks: float = 1.0
    traits: Literal["usual", "heavy", "few"] = "usual"
    fault: float = 0.0
    onset: int = 1
    hurt: float = 1.0
    answers: float = 0.9
    reports: float | None = None
    new: bool = False
    rotates: bool = False


@dataclass(frozen=True)
class Lived:
    """Hold what all runs' people lived: ``count`` (runs, weeks, people), and ``totals`` (runs, weeks, people, V) of it.

    ``ours`` (runs, weeks, people): under the watched version. ``day_count`` (runs, people), ``day_totals`` (runs, people, V) and
    ``day_ours``: those of each person's first day.
    """

    count: Floats
    totals: Floats
    ours: Bools
    day_count: Floats
    day_totals: Floats
    day_ours: Bools


def live(world: World, rng: np.random.Generator, runs: int) -> Lived:
    """Draw the lives of ``runs`` communities."""
    people = world.people * world.weeks if world.new else world.people
    shape = (runs, world.weeks, people)
    ours = np.broadcast_to(rng.random(shape if world.rotates else (runs, 1, people)) < world.watched, shape)
    rate = rng.gamma(4.0, world.rate / 4.0, (runs, 1, people)) * np.where(ours, world.speaks, 1.0)
    here = (
        np.arange(world.weeks)[:, None] == np.arange(people) // world.people if world.new else np.ones(shape[1:], bool)
    )
    trait = _traits(world, rng, (runs, 1, people))
    faulty = (
        ours & (rng.random((runs, 1, people)) < world.hurt) & (np.arange(1, world.weeks + 1)[:, None] >= world.onset)
    )
    moved = np.broadcast_to(_moves(world, rng, runs), shape)
    count = (rng.poisson(rate) * here).astype(float)
    totals = _DRAWS[world.metric](world, rng, count, trait, moved, faulty)
    came = np.arange(people) // world.people if world.new else np.zeros(people, dtype=int)
    first = (np.arange(runs)[:, None], came[None, :], np.arange(people)[None, :])
    day_count = rng.poisson(rate / 7)[first].astype(float)
    day = _DRAWS[world.metric](world, rng, day_count[:, None], trait, moved[first][:, None], faulty[first][:, None])
    return Lived(count, totals, ours, day_count, day[:, 0], ours[first])


def _traits(world: World, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw each person's own mean of the metric; of silence, of harm."""
    if world.metric == "empathy":
        spread = 0.07 * rng.standard_t(2, shape) if world.traits == "heavy" else rng.normal(0, 0.1, shape)
        trait = np.clip(world.base + spread, 0, 1)
        return np.where(rng.random(shape) < _FEW, 0.1, trait) if world.traits == "few" else trait
    concentration = 1.0 if world.traits == "heavy" else 15.0
    trait = rng.beta(world.base * concentration, (1 - world.base) * concentration, shape)
    return np.where(rng.random(shape) < _FEW, 0.9, trait) if world.traits == "few" else trait


def _moves(world: World, rng: np.random.Generator, runs: int) -> Floats:
    """Return how much worse both arms are in each week (runs, weeks, 1)."""
    week, begin = np.arange(world.weeks)[None, :, None], rng.integers(1, max(2, world.weeks - 2), (runs, 1, 1))
    if world.times == "incident":
        return np.asarray(_SHOCK * ((week >= begin) & (week < begin + 2)))
    if world.times == "recovery":
        return np.asarray(_SHOCK * (week < begin))
    return np.broadcast_to(
        _DRIFT * week / world.weeks if world.times == "drift" else 0.0 * week, (runs, world.weeks, 1)
    )


def _worse(world: World, rng: np.random.Generator, count: Floats, moved: Floats) -> Floats:
    """Add to the moves of both arms what a weekend takes, by how many of a person's interventions fall on it."""
    if world.times != "weekend":
        return moved
    return np.asarray(moved + _WEEKEND_LOSS * rng.binomial(count.astype(int), _WEEKEND) / np.maximum(count, 1))


def _empathy(
    world: World, rng: np.random.Generator, count: Floats, trait: Floats, moved: Floats, faulty: Bools
) -> Floats:
    mean = np.clip(trait - _worse(world, rng, count, moved), 0, 1) * np.where(faulty, 1 + world.fault, 1.0)
    return np.asarray(count * np.clip(rng.normal(mean, _NOISE / np.sqrt(np.maximum(count, 1))), 0, 1))[..., None]


def _harm_shares(
    world: World, rng: np.random.Generator, count: Floats, trait: Floats, moved: Floats, faulty: Bools
) -> Floats:
    return np.clip(trait * np.where(faulty, 1 + world.fault, 1.0) + _worse(world, rng, count, moved), 0, 1)


def _harm(world: World, rng: np.random.Generator, count: Floats, trait: Floats, moved: Floats, faulty: Bools) -> Floats:
    share = _harm_shares(world, rng, count, trait, moved, faulty)
    return rng.binomial(count.astype(int), share).astype(float)[..., None]


def _silence(
    world: World, rng: np.random.Generator, count: Floats, trait: Floats, moved: Floats, faulty: Bools
) -> Floats:
    """Draw the answered interventions and the harmful or silent ones. Here the times move how many people answer."""
    answers = np.clip(world.answers - _worse(world, rng, count, moved), 0.05, 1)
    reports = answers if world.reports is None else np.where(faulty, world.reports, answers)
    harmed = rng.binomial(count.astype(int), np.clip(trait * np.where(faulty, 1 + world.fault, 1.0), 0, 1))
    reported = rng.binomial(harmed, reports)
    answered = reported + rng.binomial(count.astype(int) - harmed, answers)
    return np.stack([answered, count - answered + reported], axis=-1).astype(float)


_DRAWS: dict[str, Callable[[World, np.random.Generator, Floats, Floats, Floats, Bools], Floats]] = {
    "empathy": _empathy,
    "false_intervention": _harm,
    "silence": _silence,
}


def above(count: int, runs: int) -> float:
    """Return the upper 95% confidence bound of a rate."""
    return 1.0 if count == runs else float(stats.beta.ppf(0.95, count + 1, runs - count))


def below(count: int, runs: int) -> float:
    """Return the lower 95% confidence bound of a rate."""
    return 0.0 if not count else float(stats.beta.ppf(0.05, count, runs - count + 1))
