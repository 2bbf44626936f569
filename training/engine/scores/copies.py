"""Count what only looks like a leak: exact duplicates, and rows nearer to the training rows than to the holdout.

Both are alarms and no score. A good generator of a small world repeats rows by chance, and a leak can keep its distance.
"""

from __future__ import annotations

import numpy as np

from core.arrays import Ints
from training.engine.scores.diversity import row_keys
from training.engine.scores.encoding import DistanceSpace
from training.engine.scores.measures import Measure, share
from training.engine.scores.neighbours import nearest
from training.engine.scores.sampling import MOST_HOLDOUT, sampled
from training.engine.tables.table import Table


def duplicates(train: Table, holdout: Table, synthetic: Table, rng: np.random.Generator) -> tuple[Measure, Measure]:
    """Return the shares of synthetic rows that equal a training row, and a holdout row, of tables of the same size."""
    rows = min(train.rows, holdout.rows)
    made = row_keys(synthetic)
    found = []
    for name, table in (("duplicates", train), ("chance_duplicates", holdout)):
        hits = int(np.isin(made, row_keys(sampled(table, rows, rng))).sum())
        value, low, high = share(hits, synthetic.rows)
        found.append(Measure(name, value, synthetic.rows, low, high))
    return found[0], found[1]


def closest_record_share(train: Table, holdout: Table, synthetic: Table, rng: np.random.Generator) -> Measure:
    """Return the share of synthetic rows whose nearest real row is a training row, of tables of the same size."""
    space, rows = DistanceSpace.of(train), min(train.rows, holdout.rows, MOST_HOLDOUT)
    made = space.place(sampled(synthetic, MOST_HOLDOUT, rng))
    inside, outside = (nearest(made, space.place(sampled(t, rows, rng))) for t in (train, holdout))
    ties: Ints = (inside == outside).astype(np.int64)
    hits = int((inside < outside).sum() + ties.sum() // 2)
    value, low, high = share(hits, len(made))
    return Measure("closest_record_share", value, len(made), low, high)
