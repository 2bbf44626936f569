"""Try to tell synthetic rows from rows that nobody trained on: a classifier two-sample test by boosted trees.

Against the training rows a copy would be rewarded (an area below .5), so the test reads the holdout alone.
"""

from __future__ import annotations

import numpy as np

from core.arrays import Floats, Ints
from training.engine.scores.boosting import probabilities
from training.engine.scores.encoding import categorical_columns, tree_categories, tree_matrix
from training.engine.scores.measures import Measure, auc, ranked
from training.engine.scores.sampling import MOST_HOLDOUT, people_of, sampled
from training.engine.tables.table import Table

_FOLDS = 5


def detection(train: Table, holdout: Table, synthetic: Table, rng: np.random.Generator, *, seed: int) -> Measure:
    """Return the cross-fitted area under the curve of telling synthetic from real. Half means indistinguishable.

    Both sides have the same number of rows. All rows of one person are in one fold.
    """
    rows = min(holdout.rows, synthetic.rows, MOST_HOLDOUT)
    real, fake = sampled(holdout, rows, rng), sampled(synthetic, rows, rng)
    kept, people = tree_categories(train), (people_of(real), people_of(fake))
    folds = [_folds(p, rng) for p in people]
    features = np.concatenate([tree_matrix(t, kept) for t in (fake, real)])
    labels = np.r_[np.ones(fake.rows, bool), np.zeros(real.rows, bool)]
    fold = np.r_[folds[1], folds[0]]
    scores = np.full(len(labels), 0.5)
    for k in range(_FOLDS):
        held, kind = fold == k, categorical_columns(train.schema)
        if held.any() and not held.all():
            found = probabilities(features[~held], labels[~held], features[held], categorical=kind, seed=seed)
            scores[held] = _spread(found)
    area, low, high = auc(scores[labels], scores[~labels], persons=(people[1], people[0]))
    return Measure("detection", area, rows, low, high)


def _folds(people: Ints, rng: np.random.Generator) -> Ints:
    """Return the fold of each row (n,), the same for all rows of one person."""
    _, person = np.unique(people, return_inverse=True)
    count = int(person.max(initial=-1)) + 1
    return np.asarray(rng.permutation(np.arange(count) % _FOLDS)[person.reshape(-1)], dtype=np.int64)


def _spread(scores: Floats) -> Floats:
    """Return scores as shares of the fold's rows below, so that folds can be pooled."""
    return (ranked(scores) - 0.5) / len(scores)
