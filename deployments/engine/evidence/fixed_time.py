"""Compare two arms once, at the end of a stage's time, with one value for each person (Welch's t).

Only *advance* and *promote* use these tests. They are made once at the end of a declared time, so they need no correction for
looks. What may take a version back at any minute is in ``joint_blocks``. Comparisons read moments of people's values, never the
values, so that a verdict can be stored and computed again without anybody's data.

Each bound is one-sided: it is wrong with probability at most 1 - level. Too few people, or a spread that cannot be estimated,
give no bounds, and no bound is no proof.

Sources: Welch (1947); Deng, Xu, Kohavi and Walker (2013) for the adjustment by people's past (CUPED).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.arrays import Floats
from core.json_safe import json_safe
from training.engine.intervals.clustered import quantile

BOUND_LEVEL = 0.95
LEAST_WITH_PAST = 20  # people of both arms together, before their past adjusts anything
Values = Literal["share", "unbounded"]
_NOTHING = 1e-12


@dataclass(frozen=True)
class ValueMoments:
    """Hold the number, mean and variance (n - 1) of people's values. What cannot be estimated is NaN."""

    n: int
    mean: float = math.nan
    variance: float = math.nan

    @classmethod
    def of(cls, values: Floats) -> ValueMoments:
        """Return the moments of all values that are not NaN."""
        known = values[~np.isnan(values)]
        with np.errstate(all="ignore"):
            mean = float(known.mean()) if len(known) else math.nan
            variance = float(known.var(ddof=1)) if len(known) > 1 else math.nan
        return cls(len(known), _finite(mean), _finite(variance))

    @property
    def standard_error(self) -> float:
        """Return that of the mean, or NaN for fewer than two people."""
        return math.sqrt(self.variance / self.n) if self.n > 1 else math.nan

    def as_json(self) -> list[Any]:
        """Return n, mean and variance."""
        return [self.n, *json_safe([self.mean, self.variance])]

    @classmethod
    def from_json(cls, stored: list[Any]) -> ValueMoments:
        """Read what ``as_json`` returned."""
        n, mean, variance = stored
        return cls(n, _number(mean), _number(variance))


@dataclass(frozen=True)
class RewardMoments:
    """Hold means and covariances of three values of each person: the reward, their past reward, and 1 if there is a past.

    The past is 0 for people without one, and the third value tells them apart. ``means`` (3,), ``covariances`` (3, 3) with n - 1.
    """

    n: int
    means: tuple[float, ...] = (math.nan,) * 3
    covariances: tuple[tuple[float, ...], ...] = ((math.nan,) * 3,) * 3

    @classmethod
    def of(cls, reward: Floats, past: Floats) -> RewardMoments:
        """Return the moments of all people with a reward. ``past`` is NaN for people without one."""
        known = ~np.isnan(reward)
        has = np.isfinite(past[known])
        table = np.stack([reward[known], np.where(has, past[known], 0.0), has.astype(float)])
        n = table.shape[1]
        if n < 2:
            return cls(n)
        with np.errstate(all="ignore"):
            means, covariances = table.mean(axis=1), np.cov(table)
        if not (np.isfinite(means).all() and np.isfinite(covariances).all()):
            return cls(n)
        return cls(n, tuple(means.tolist()), tuple(tuple(row) for row in covariances.tolist()))

    @property
    def plain(self) -> ValueMoments:
        """Return the moments of the reward, without any adjustment."""
        return ValueMoments(self.n, self.means[0], self.covariances[0][0])

    def adjusted(self, slope: float, centre: float) -> ValueMoments:
        """Return the moments of reward - slope (past - centre), in which people without a past stay as they are."""
        pull = np.array([1.0, -slope, slope * centre])
        with np.errstate(all="ignore"):
            mean, variance = pull @ np.array(self.means), pull @ np.array(self.covariances) @ pull
        return ValueMoments(self.n, _finite(float(mean)), _finite(float(variance)))

    def of_those_with_past(self) -> tuple[float, float, float, float]:
        """Return, of the people with a past: their number, the sum of pasts, and the centred sums of past^2 and past x reward."""
        means, covariances = np.array(self.means), np.array(self.covariances)
        second = self.n * (covariances * (self.n - 1) / self.n + np.outer(means, means)) if self.n else np.zeros((3, 3))
        people, past, reward = second[2, 2], second[1, 2], second[0, 2]
        if not people > 0.5:
            return 0.0, 0.0, 0.0, 0.0
        return people, past, second[1, 1] - past * past / people, second[0, 1] - past * reward / people

    def as_json(self) -> list[Any]:
        """Return n, means and covariances."""
        return [self.n, *json_safe([self.means, self.covariances])]

    @classmethod
    def from_json(cls, stored: list[Any]) -> RewardMoments:
        """Read what ``as_json`` returned."""
        n, means, rows = stored
        return cls(n, tuple(map(_number, means)), tuple(tuple(map(_number, row)) for row in rows))


@dataclass(frozen=True)
class Comparison:
    """Hold "candidate's mean - factor x stable version's mean" with its one-sided bounds; None where nothing is known.

    ``candidate``, ``stable``: the means of the arms. ``n_candidate``, ``n_stable``: their people.
    """

    factor: float
    n_candidate: int
    n_stable: int
    candidate: float | None
    stable: float | None
    estimate: float | None
    low: float | None
    high: float | None
    level: float

    @property
    def sufficient(self) -> bool:
        """Tell whether there are bounds. Without them the answer is that the evidence is insufficient."""
        return self.low is not None

    def is_above(self, bar: float) -> bool:
        """Tell whether the lower bound is above a bar. No bound never is."""
        return self.low is not None and self.low > bar

    def is_below(self, bar: float) -> bool:
        """Tell whether the upper bound is below a bar. No bound never is."""
        return self.high is not None and self.high < bar


def compare_arms(
    candidate: ValueMoments,
    stable: ValueMoments,
    factor: float = 1.0,
    *,
    level: float = BOUND_LEVEL,
    values: Values = "unbounded",
) -> Comparison:
    """Compare the candidate's mean with ``factor`` times the stable version's.

    Args: values: "share" if values lie in [0, 1]. People who are all alike then have the spread of as many people and one more
        who is as different as can be. Of unbounded values such people tell nothing.
    """
    variances = [_spread(arm, values) for arm in (candidate, stable)]
    parts = [variances[0] / max(candidate.n, 1), factor * factor * variances[1] / max(stable.n, 1)]
    return _compared(candidate, stable, factor, parts, level)


def compare_with_bar(
    candidate: ValueMoments, bar: float, *, level: float = BOUND_LEVEL, values: Values = "unbounded"
) -> Comparison:
    """Compare the candidate's mean with a fixed bar, where the stable version has nothing to compare with."""
    return _compared(
        candidate, ValueMoments(0, bar, 0.0), 1.0, [_spread(candidate, values) / max(candidate.n, 1), 0.0], level
    )


def compare_rewards(candidate: RewardMoments, stable: RewardMoments, *, level: float = BOUND_LEVEL) -> Comparison:
    """Compare mean rewards, adjusted by what people's past explains of them (CUPED).

    The slope is pooled within arms, and the centre is the mean past of both. Assignment does not depend on the past, so the
    adjustment changes the spread of the difference and not its expectation.
    """
    slope, centre = _past_of(candidate, stable)
    found = compare_arms(candidate.adjusted(slope, centre), stable.adjusted(slope, centre), level=level)
    return found if found.sufficient or slope == 0.0 else compare_arms(candidate.plain, stable.plain, level=level)


def _past_of(candidate: RewardMoments, stable: RewardMoments) -> tuple[float, float]:
    with np.errstate(all="ignore"):
        ours, theirs = candidate.of_those_with_past(), stable.of_those_with_past()
        people, past, square, product = (a + b for a, b in zip(ours, theirs, strict=True))
        scale = max(past * past / max(people, 1.0), _NOTHING)
        if not (people >= LEAST_WITH_PAST and math.isfinite(product) and square > 1e-9 * scale):
            return 0.0, 0.0
    return float(product / square), float(past / people)


def _spread(arm: ValueMoments, values: Values) -> float:
    if values == "share" and arm.n > 1 and abs(arm.variance) <= _NOTHING and 0.0 <= arm.mean <= 1.0:
        return max(arm.mean, 1.0 - arm.mean) ** 2 * arm.n / (arm.n + 1.0) ** 2
    return arm.variance


def _compared(
    candidate: ValueMoments, stable: ValueMoments, factor: float, parts: list[float], level: float
) -> Comparison:
    """Return the comparison, given the variance that each arm adds to the difference."""
    estimate = candidate.mean - factor * stable.mean
    variance, squares = sum(parts), 0.0
    for arm, part in ((candidate, parts[0]), (stable, parts[1])):
        squares += part * part / (arm.n - 1) if arm.n > 1 else (math.nan if part != 0.0 else 0.0)
    low = high = None
    if math.isfinite(estimate) and math.isfinite(variance) and variance > _NOTHING**2 and squares > 0.0:
        reach = quantile(level, "lower", min(variance * variance / squares, 1e9)) * math.sqrt(variance)
        if math.isfinite(reach):
            low, high = estimate - reach, estimate + reach
    means = _known(candidate.mean), _known(stable.mean)
    return Comparison(factor, candidate.n, stable.n, *means, _known(estimate), low, high, level)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(stored: float | None) -> float:
    return math.nan if stored is None else float(stored)
