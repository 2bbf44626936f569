"""Attack synthetic rows: guess one column of a person from all their others, better for members than for outsiders.

What holds of everybody can be learned from any good table and is no leak. So the attack counts only what it finds out about
people of the training rows beyond people of the holdout.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from core.arrays import Floats, Ints
from training.engine.scores.encoding import DistanceSpace
from training.engine.scores.measures import INTERVAL_LEVEL, Measure
from training.engine.scores.membership import Attacked
from training.engine.scores.neighbours import squared_block, squared_distances
from training.engine.scores.sampling import people_of, sampled
from training.engine.tables.table import Table

MOST_ATTRIBUTES = 6
MOST_GUESSED, MOST_SEARCHED = 1_000, 30_000  # rows on either side, and synthetic rows
_CLOSE = 0.1  # of a standard deviation, about: a number counts as guessed


@dataclass(frozen=True)
class AttributeInference:
    """Hold the column that members lose most by, and the share guessed right of members beyond outsiders."""

    column: str
    advantage: Measure

    @property
    def score(self) -> float:
        """Return 1 where nothing is proven, falling to 0 where members' values are guessed half as often again."""
        return 1.0 - min(1.0, 2.0 * max(0.0, self.advantage.low or 0.0))


def attribute_inference(
    train: Table, attacked: Attacked, synthetic: Table, target: str | None, rng: np.random.Generator
) -> AttributeInference:
    """Guess up to six columns by the nearest synthetic row on all others, and return the worst by what it proves."""
    space = DistanceSpace.of(train)
    chosen = _chosen(list(train.columns), target, rng)
    sides = [sampled(t, MOST_GUESSED, rng) for t in (attacked.members, attacked.outside)]
    made = space.parts(sampled(synthetic, MOST_SEARCHED, rng))
    hits = [_guessed(space.parts(t), made, chosen) for t in sides]
    people = [people_of(t) for t in sides]
    level = 1 - (1 - INTERVAL_LEVEL) / max(len(chosen), 1)
    names = list(train.columns)
    rows = min(t.rows for t in sides)
    found = [
        AttributeInference(names[j], _difference(hits[0][i], hits[1][i], people, level, rows))
        for i, j in enumerate(chosen)
    ]
    nothing = AttributeInference("", Measure("attribute_inference", 0.0, rows, -1.0, 1.0))
    return max(found, key=lambda a: a.advantage.low or 0.0, default=nothing)


def _chosen(names: list[str], target: str | None, rng: np.random.Generator) -> list[int]:
    if len(names) < 2:
        return []
    if len(names) <= MOST_ATTRIBUTES:
        return list(range(len(names)))
    first = [names.index(target)] if target in names else []
    rest = [j for j in rng.permutation(len(names)).tolist() if j not in first]
    return sorted([*first, *rest][:MOST_ATTRIBUTES])


def _guessed(rows: list[Floats], made: list[Floats], chosen: list[int]) -> list[Floats]:
    """Return, for each chosen column, whether (rows,) the nearest synthetic row on the others has the row's value."""
    everything, others = np.concatenate(rows, axis=1), np.concatenate(made, axis=1)
    hits = [np.zeros(len(everything)) for _ in chosen]
    if not len(others):
        return hits
    for part, squares in squared_distances(everything, others):
        for out, j in zip(hits, chosen, strict=True):
            own, theirs = rows[j][part], made[j]
            guess = theirs[np.argmin(squares - squared_block(own, theirs), axis=1)]
            out[part] = np.abs(guess - own).max(axis=1) <= _CLOSE / 2**0.5
    return hits


def _difference(members: Floats, outside: Floats, people: list[Ints], level: float, rows: int) -> Measure:
    """Return the difference of two shares with its interval, clustered by person."""
    values = [float(x.mean()) if x.size else 0.0 for x in (members, outside)]
    variance = sum(
        _variance(x - value, person) for x, value, person in zip((members, outside), values, people, strict=True)
    )
    wide = NormalDist().inv_cdf((1 + level) / 2) * variance**0.5
    gap = values[0] - values[1]
    note = f"right for {values[0]:.1%} of members and {values[1]:.1%} of outsiders"
    return Measure("attribute_inference", gap, rows, gap - wide, gap + wide, "rows", note)


def _variance(centred: Floats, person: Ints) -> float:
    """Return the variance of a clustered mean, at least that of one miss among its people."""
    if not centred.size:
        return 1.0
    _, group = np.unique(person, return_inverse=True)
    sums = np.bincount(group.reshape(-1), weights=centred)
    return max(float((sums**2).sum()) / len(centred) ** 2, 0.25 / len(sums) ** 2)
