"""Find contexts in which an app varies its choice by itself, so that what it chose less often was tried there as well.

Contexts are split as long as a pattern in them tells when the app takes an action. An app that follows a rule ends with parts in
which it does one thing only, or with parts of too few people. Nothing is known there of the other action. Where no pattern is
left and enough people met both, alike contexts got both. What the app knows beyond the context is not seen.

Source: Hothorn, Hornik and Zeileis (2006), "Unbiased recursive partitioning: a conditional inference framework". Here each test
is clustered by person, and pairs of features are tested too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from core.arrays import Bools, Floats, Ints
from deployments.engine.health.metrics import LEAST_PEOPLE_SEEN

_LEAST_SHARE = 0.05  # of the choices in a part that take the action, so that no choice counts more than twentyfold
_PATTERN = 3.0  # standard errors. Splitting too often is safe: it only leaves more unknown
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
