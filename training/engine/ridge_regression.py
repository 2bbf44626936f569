"""Ridge regression on a policy's features."""

from __future__ import annotations

import numpy as np

from core.arrays import Floats

_RIDGE = 1e-3


def regression(features: Floats) -> Floats:
    """Return the (d, n) matrix that maps n targets to ridge coefficients on features (n, d).

    The intercept is not penalised. Values are large beside advantages, so a penalty on their mean would distort every other
    coefficient.
    """
    penalty = np.full(features.shape[1], _RIDGE * len(features))
    penalty[0] = 0.0
    return np.asarray(np.linalg.solve(features.T @ features + np.diag(penalty), features.T))
