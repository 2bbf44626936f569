"""Attack synthetic rows: tell whether a person's rows were among those that the generator learned from.

The attacker holds the synthetic rows, rows of other people as a reference, and the rows of the people asked about. Half of the
holdout is the reference while the other half is asked about, and the reverse. Four attacks are run, and the strongest counts.

Source: Hayes et al. 2019 (distance), van Breugel et al. 2023 (density ratio, DOMIAS), Carlini et al. 2022 (true positives at
a low false-positive rate).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats, Ints
from training.engine.scores.boosting import probabilities
from training.engine.scores.encoding import DistanceSpace, categorical_columns, tree_categories, tree_matrix
from training.engine.scores.measures import INTERVAL_LEVEL, Measure, auc, share
from training.engine.scores.neighbours import counts_within, nearest
from training.engine.scores.sampling import MOST_HOLDOUT, people_of, sampled
from training.engine.tables.table import Table

MOST_ATTACKED = 2_000  # people on either side
FALSE_POSITIVES = 0.01
_FOUND_WEIGHT = 15.0  # a few people found for certain are a leak, though the area hardly moves


@dataclass(frozen=True)
class Attacked:
    """The people asked about: members of the training rows and outsiders, each in two halves (rows,), 0 and 1.

    The outsiders of one half are the reference for the other, so that every person of the holdout is asked about once.
    """

    members: Table
    outside: Table
    member_half: Ints
    outside_half: Ints

    @classmethod
    def of(cls, train: Table, holdout: Table, rng: np.random.Generator) -> Attacked:
        """Draw people of both tables, and halve them by person."""
        members, outside = (_people_sampled(table, rng) for table in (train, holdout))
        return cls(members, outside, _halves(members, rng), _halves(outside, rng))


def _people_sampled(table: Table, rng: np.random.Generator) -> Table:
    """Return all rows of at most as many people as an attack asks about, and at most as many rows as it reads."""
    people = people_of(table)
    chosen = rng.permutation(np.unique(people))[:MOST_ATTACKED]
    return sampled(table.take(np.flatnonzero(np.isin(people, chosen))), MOST_HOLDOUT, rng)


def _halves(table: Table, rng: np.random.Generator) -> Ints:
    _, person = np.unique(people_of(table), return_inverse=True)
    count = int(person.max(initial=-1)) + 1
    return np.asarray(rng.permutation(np.arange(count) % 2)[person.reshape(-1)], dtype=np.int64)


@dataclass(frozen=True)
class Membership:
    """Hold the strongest attack: its name, area under the curve, true positives at 1% false ones, and the rate reached.

    ``bound``: the share of members that is proven to be told apart beyond false alarms, 0 if none is. ``reverse``: the least
    area of any attack, with its upper end; well below half, synthetic rows are nearer to the holdout than to the training rows.
    """

    attack: str
    area: Measure
    true_positives: Measure
    bound: float
    reverse: float

    @property
    def score(self) -> float:
        """Return 1 where no attack is proven to work, falling to 0 at area 1 or where 7 in 100 members are proven to be found."""
        low = 0.5 if self.area.low is None else self.area.low
        return min(1.0 - 2.0 * max(0.0, low - 0.5), 1.0 - min(1.0, _FOUND_WEIGHT * self.bound))


def membership(
    train: Table, attacked: Attacked, synthetic: Table, rng: np.random.Generator, *, seed: int
) -> Membership:
    """Run every attack and return the strongest by what it proves. Intervals allow for the number of attacks."""
    sides = (attacked.members, attacked.outside)
    people = [np.unique(people_of(t), return_inverse=True)[1].reshape(-1) for t in sides]
    attacks = _attacks(train, attacked, synthetic, rng, seed)
    level = 1 - (1 - INTERVAL_LEVEL) / len(attacks)
    found = [
        _judged(name, _per_person(inside, people[0]), _per_person(outside, people[1]), level)
        for name, (inside, outside) in attacks.items()
    ]
    strongest = max(found, key=lambda m: (m.bound, m.area.low or 0.0))
    area = max(found, key=lambda m: m.area.low or 0.0).area
    return Membership(
        strongest.attack, area, strongest.true_positives, strongest.bound, min(m.area.high or 1.0 for m in found)
    )


def _attacks(
    train: Table, attacked: Attacked, synthetic: Table, rng: np.random.Generator, seed: int
) -> dict[str, list[Floats]]:
    """Return the score of each row of members and outsiders by attack. A high score says member."""
    space, kept, kinds = DistanceSpace.of(train), tree_categories(train), categorical_columns(train.schema)
    made = space.place(synthetic)
    sides, halves = (attacked.members, attacked.outside), (attacked.member_half, attacked.outside_half)
    places = [space.place(t) for t in sides]
    to_made = [nearest(p, made) for p in places]
    usual = to_made[1][np.isfinite(to_made[1])]
    radius = float(np.median(usual)) if usual.size else 0.0
    small = 1e-3 * max(radius, 1e-6)
    crowd = [counts_within(p, made, radius) for p in places]
    fake = sampled(synthetic, MOST_HOLDOUT, rng)
    fake_features, features = tree_matrix(fake, kept), [tree_matrix(t, kept) for t in sides]
    nearer, denser, trees = ([np.zeros(t.rows) for t in sides] for _ in range(3))
    for half in (0, 1):
        reference = halves[1] != half
        known, known_features = places[1][reference], features[1][reference]
        labels = np.r_[np.ones(fake.rows, bool), np.zeros(len(known), bool)]
        taught = np.concatenate([fake_features, known_features])
        for i, place in enumerate(places):
            asked = halves[i] == half
            beside = nearest(place[asked], known)
            nearer[i][asked] = np.log((np.minimum(beside, 1e6) + small) / (np.minimum(to_made[i][asked], 1e6) + small))
            denser[i][asked] = np.log((crowd[i][asked] + 1) / (counts_within(place[asked], known, radius) + 1))
        scores = probabilities(
            taught, labels, np.concatenate([f[h == half] for f, h in zip(features, halves, strict=True)]),
            categorical=kinds, seed=seed,
        )  # fmt: skip
        first = int((halves[0] == half).sum())
        trees[0][halves[0] == half], trees[1][halves[1] == half] = scores[:first], scores[first:]
    return {
        "distance to the nearest synthetic row": [-d for d in to_made],
        "nearer to synthetic than to other real rows": nearer,
        "more synthetic than other real rows close by": denser,
        "boosted trees": trees,
    }


def _per_person(scores: Floats, person: Ints) -> Floats:
    """Return each person's mean score, and a little of their greatest, so that one remembered row is seen."""
    groups = int(person.max(initial=-1)) + 1
    scores = np.nan_to_num(scores, nan=0.0, posinf=1e6, neginf=-1e6)
    mean = np.bincount(person, weights=scores, minlength=groups) / np.maximum(np.bincount(person, minlength=groups), 1)
    most = np.full(groups, -np.inf)
    np.maximum.at(most, person, scores)
    return np.asarray((mean + most) / 2)


def _judged(name: str, members: Floats, outside: Floats, level: float) -> Membership:
    area, low, high = auc(members, outside, level=level)
    allowed = math.floor(FALSE_POSITIVES * len(outside))
    threshold = np.sort(outside)[::-1][allowed] if len(outside) > allowed else -np.inf
    hits = int((members > threshold).sum())
    false = int((outside > threshold).sum())
    value, at_least, at_most = share(hits, len(members), level=level)
    alarm, _, most_alarms = share(false, len(outside), level=level)
    surplus = value - max(alarm, FALSE_POSITIVES) - math.hypot(value - at_least, most_alarms - alarm)  # Newcombe 1998
    bound = max(0.0, surplus)
    people = min(len(members), len(outside))
    note = f"{name}; {false} of {len(outside)} outsiders taken for members"
    return Membership(
        name,
        Measure("membership", area, people, low, high, "people", name),
        Measure("membership_tpr", value, people, at_least, at_most, "people", note),
        bound,
        high,
    )
