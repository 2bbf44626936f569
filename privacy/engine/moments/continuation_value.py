"""Compute what a change of state is worth later: the slope of the value along the learned features, from a released baseline.

Under the logging policy, learned features x move by c (theta_x . phi). With the other features at their averages x' = A x + ...,
and V(x) = r x + gamma V(x') has the slope v = sum_k gamma^k (A')^k r (Sutton and Barto, 4.1, for linear dynamics). The sum takes
twenty steps instead of the fixed point, because a noisy A may have no fixed point.
"""

from __future__ import annotations

import numpy as np

from core.arrays import Floats
from privacy.engine.moments.release_layout import ReleaseLayout

CONTINUATION_GAMMA = 0.97
_STEPS = 20
_LARGEST = 10.0  # reward scales per whitened change: an extreme noisy baseline must not outweigh the reward itself


def continuation_slope(layout: ReleaseLayout, theta: Floats) -> Floats:
    """Return gamma times the value of one whitened unit of each target's change (m,), in reward scales.

    ``theta`` (d, m) is the baseline. The entries of reward and of leaving are 0.
    """
    spec, slope = layout.spec, np.zeros(len(layout.targets))
    if not layout.learned:
        return slope
    columns = [layout.phi.columns_of(spec.features[i].name)[0] for i in layout.learned]
    unit = np.array([_unit(layout, i) for i in layout.learned])  # one whitened change, in units of the column of phi
    moves = np.eye(len(columns)) + (theta[np.ix_(columns, range(1, len(columns) + 1))] * unit).T
    value, gain = np.zeros(len(columns)), theta[columns, 0]
    for _ in range(_STEPS):
        value = np.clip(gain + CONTINUATION_GAMMA * moves.T @ value, -_LARGEST / unit, _LARGEST / unit)
    slope[1 : len(columns) + 1] = CONTINUATION_GAMMA * value * unit
    return slope


def continuation_spread(slope: Floats) -> float:
    """Return the standard deviation of residual + slope . residuals for whitened residuals of standard deviation 1.

    It is the unit of a sub-head's target.
    """
    return float(np.sqrt(1.0 + slope @ slope))


def _unit(layout: ReleaseLayout, feature: int) -> float:
    declared = layout.spec.features[feature]
    low, high = declared.range
    return 2.0 * (declared.scale or 1.0) / (high - low)
