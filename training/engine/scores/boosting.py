"""Fit boosted trees, the classifier of every score. The only module of the scores that knows scikit-learn.

Source: scikit-learn's histogram gradient boosting, after LightGBM (Ke et al. 2017).
"""

from __future__ import annotations

import numpy as np

from core.arrays import Bools, Floats

_ROUNDS, _LEAVES, _RATE, _RIDGE = 80, 15, 0.1, 1.0
_FEWEST_IN_A_LEAF, _MOST_IN_A_LEAF = 2, 20


def probabilities(features: Floats, labels: Bools, queries: Floats, *, categorical: Bools, seed: int) -> Floats:
    """Fit boosted trees on labelled rows, and return the probability of a true label for each query row.

    Args:
        features: (n, F), NaN where missing. labels: (n,). queries: (q, F).
        categorical: (F,) which columns hold codes below 255.
        seed: fixes every random draw.
    Returns: (q,). Without both labels, or without a column that varies, the share of true labels.
    """
    usable = _varies(features)
    share = float(labels.mean()) if labels.size else 0.5
    if share in (0.0, 1.0) or not usable.any() or labels.size < 2 * _FEWEST_IN_A_LEAF:
        return np.full(len(queries), share)
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    trees = HistGradientBoostingClassifier(
        max_iter=_ROUNDS,
        learning_rate=_RATE,
        max_leaf_nodes=_LEAVES,
        l2_regularization=_RIDGE,
        min_samples_leaf=int(np.clip(labels.size // 50, _FEWEST_IN_A_LEAF, _MOST_IN_A_LEAF)),
        categorical_features=categorical[usable],
        early_stopping=False,
        random_state=seed % 2**32,
    )
    with threadpool_limits(
        1, user_api="openmp"
    ):  # threads that wait for each other make small fits slow on a busy machine
        trees.fit(features[:, usable], labels)
        return np.asarray(trees.predict_proba(queries[:, usable])[:, 1], dtype=np.float64)


def _varies(features: Floats) -> Bools:
    """Return which columns (F,) hold at least two different values, a missing value being one."""
    if not len(features):
        return np.zeros(features.shape[1], bool)
    present = np.isfinite(features)
    low, high = np.where(present, features, np.inf).min(axis=0), np.where(present, features, -np.inf).max(axis=0)
    return np.asarray(present.any(axis=0) & ((low < high) | ~present.all(axis=0)))
