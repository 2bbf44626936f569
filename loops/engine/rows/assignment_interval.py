"""Give a mean over rows its interval, with independent units such as people, for the checks of a file's propensities.

Source: Bell and McCaffrey (2002) for the correction of the clustered variance.
"""

from __future__ import annotations

import math

import numpy as np

from core.arrays import Floats

LEVEL = 0.95  # of all intervals of a file together
# Shares of 1 - LEVEL. A gap or a stratum that matters is many standard errors away, so right files hardly pay for these checks.
MEANS_SHARE = 0.96  # the means over all rows
REGIONS_SHARE = 0.02  # the means in regions
SPREAD_SHARE = 0.02  # the spread between people
LEAST_DOF = 8.0  # below it a Student interval is unreliable: the propensities stay unchecked
PSEUDO_ROWS = 2  # with the largest 1/p, added to the variance: rare rows that were not drawn do not show in it
WEIGHT_CAP = 20.0  # on 1/p, so that no single row hides the others
RowsInterval = tuple[float, float | None, float | None]  # mean, low, high


def rows_interval(rows: Floats, sums: Floats, unseen: float, null: float, level: float) -> RowsInterval:
    """Return the mean sum(sums) / sum(rows) and its Student interval of this level, or no bounds for too few units.

    If a few units have most of the rows, each counts at most as much as the one with the median number of rows, in the mean
    as in the interval.

    Args: rows, sums (units,). unseen: added to the variance of the sum. null: variance of the sum under right propensities.
    """
    null /= rows.sum()
    if kish(rows) - 1 < LEAST_DOF:
        weight = np.minimum(1.0, np.median(rows) / rows)
        rows, sums = rows * weight, sums * weight
    total, dof = rows.sum(), kish(rows) - 1
    mean = float(sums.sum() / total)
    if dof < LEAST_DOF:
        return mean, None, None
    residual = (sums - mean * rows) ** 2 / (1 - rows / total)
    variance = max((residual.sum() + unseen) / total**2, null / total)
    reach = student_quantile(dof, level) * math.sqrt(variance)
    return mean, mean - reach, mean + reach


def rare_bound(total: float, variance: float, weight: float, level: float) -> float:
    """Return the upper end of an interval for a weighted sum of rare events, which holds where few or none came.

    Args: total: the sum. variance: its variance. weight: the largest weight of an event that might have come.
    Source: Fay and Feuer (1997), the gamma interval.
    """
    from scipy.special import gammaincinv

    shape = (total + weight) ** 2 / (variance + weight**2)
    return float((total + weight) / shape * gammaincinv(shape, (1 + level) / 2))


def student_quantile(dof: float, level: float) -> float:
    """Return how many standard errors a two-sided interval of this level reaches."""
    from scipy.special import stdtrit

    return float(stdtrit(dof, (1 + level) / 2))


def level_each(share: float, intervals: int) -> float:
    """Return the level of each of some intervals, which together may miss with this share of 1 - LEVEL."""
    return 1 - (1 - LEVEL) * share / max(1, intervals)


def kish(rows: Floats) -> float:
    """Return the number of units of equal size that would tell as much. Args: rows (units,)."""
    return float(rows.sum() ** 2 / (rows**2).sum())
