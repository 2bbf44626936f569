"""Find contexts in which an app varies its choice by itself, so that what it chose less often was tried there as well.

Contexts are split as long as a pattern in them tells when the app takes an action. An app that follows a rule ends with parts in
which it does one thing only, or with parts of too few people. Nothing is known there of the other action. Where no pattern is
left and enough people met both, alike contexts got both. As a last question, the nearest contexts of other people must not have
got the same action more often than by chance, because a rule of several features shows in no single one. What the app knows
beyond the context is not seen.

Source: Hothorn, Hornik and Zeileis (2006), "Unbiased recursive partitioning: a conditional inference framework". Here each test
is clustered by person, and pairs of features are tested too. Nearest neighbours: Schilling (1986), "Multivariate two-sample
tests based on nearest neighbors".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from core.arrays import Bools, Floats, Ints
from deployments.engine.health.metrics import LEAST_PEOPLE_SEEN

_LEAST_SHARE = 0.05  # of the choices in a part that take the action, so that no choice counts more than twentyfold
_PATTERN = 3.0  # standard errors. Splitting too often is safe: it only leaves more unknown
_NEIGHBOURS = 1_500  # contexts of a part that are compared with their nearest ones, evenly chosen
_MUTUAL = 2.0  # times the variance of independent pairs: two contexts may be each other's nearest
_CUTS, _DEEPEST = 16, 12  # places at which a feature may be cut, and splits on the way to one part


class ContextSplit(NamedTuple):
    """Hold a split of contexts in two: those with a feature at most at the cut, and the others."""

    feature: int
    cut: float


def varying_parts(person: Ints, state: Floats, took: Bools) -> Ints:
    """Return for each of n decisions the number of the part of contexts in which the app varies, or -1.

    Args:
        person (n,): any numbers. state (n, F). took (n,): whether the app took the action in question.
    """
    parts, found = np.full(len(took), -1, dtype=np.int64), 0
    open_parts = [(np.arange(len(took)), 0)]
    while open_parts:
        rows, depth = open_parts.pop()
        if not _both_were_met(person[rows], took[rows]):
            continue
        split = _split_by_pattern(person[rows], state[rows], took[rows])
        if split is None:
            if not _neighbours_got_the_same(person[rows], state[rows], took[rows]):
                parts[rows], found = found, found + 1
        elif depth < _DEEPEST:
            left = state[rows, split.feature] <= split.cut
            open_parts += [(rows[left], depth + 1), (rows[~left], depth + 1)]
    return parts


def _both_were_met(person: Ints, took: Bools) -> bool:
    """Tell whether enough people got the action, enough got another one, and the action is not too rare."""
    groups = (np.unique(person[took]), np.unique(person[~took]))
    return min(map(len, groups)) >= LEAST_PEOPLE_SEEN and float(took.mean()) >= _LEAST_SHARE


def _split_by_pattern(person: Ints, state: Floats, took: Bools) -> ContextSplit | None:
    """Return the split that tells best when the app takes the action, or None if there is no pattern."""
    _, cluster = np.unique(person, return_inverse=True)
    left_over = took - took.mean()
    strength, best = _PATTERN, None
    for split, side in _sides(state):
        score = np.bincount(cluster, weights=(side - side.mean()) * left_over)
        size = float(np.sqrt(np.square(score).sum()))
        found = abs(float(score.sum())) / size if size else 0.0
        if found >= strength:
            strength, best = found, split
    return best


def _neighbours_got_the_same(person: Ints, state: Floats, took: Bools) -> bool:
    """Tell whether contexts and their nearest ones of other people got the same action more often than by chance.

    Features are compared by their ranks. A rule of several features at once shows here alone.
    """
    chosen = np.unique(np.linspace(0, len(took) - 1, min(len(took), _NEIGHBOURS)).astype(int))
    person, took, ranks = person[chosen], took[chosen], _ranks(state[chosen])
    distance = np.square(ranks).sum(axis=1)[None, :] - 2.0 * ranks @ ranks.T  # less what is the same for all in a row
    distance[person[:, None] == person[None, :]] = np.inf
    alike = took == took[distance.argmin(axis=1)]
    share = float(took.mean())
    by_chance = share**2 + (1.0 - share) ** 2
    spread = math.sqrt(_MUTUAL * by_chance * (1.0 - by_chance) / len(took))
    return float(alike.mean()) - by_chance > _PATTERN * spread


def _ranks(state: Floats) -> Floats:
    """Return each column as ranks from 0 to 1 (n, F). Equal values have one rank."""
    columns = [np.unique(column, return_inverse=True)[1] for column in state.T]
    ranks = np.stack(columns, axis=1).astype(float) if columns else np.zeros((len(state), 1))
    return np.asarray(ranks / np.maximum(ranks.max(axis=0), 1.0))


def _sides(state: Floats) -> Iterator[tuple[ContextSplit, Bools]]:
    """Yield each split with the decisions (n,) on its left. A pair of features is cut where both lie on the same side."""
    halves: list[tuple[ContextSplit, Bools]] = []
    for feature, column in enumerate(state.T):
        cuts = np.unique(np.quantile(column, np.linspace(0.0, 1.0, _CUTS + 2)[1:-1], method="lower"))
        cuts = cuts[cuts < column.max()]
        yield from ((ContextSplit(feature, float(cut)), column <= cut) for cut in cuts)
        if len(cuts):
            middle = float(cuts[len(cuts) // 2])
            halves.append((ContextSplit(feature, middle), column <= middle))
    for (split, one), (_, other) in combinations(halves, 2):
        yield split, one == other
