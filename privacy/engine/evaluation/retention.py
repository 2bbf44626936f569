"""Release whether people keep coming under a trial's candidate: one number a person, in one block.

A trial compares rewards a decision. Whoever stops coming has no decisions any more, so their loss shows in no reward. A
person has left if they have no decision in the last quarter of the trial, available or not. With s = +1 in the candidate's
arm and -1 in the reference's, 2 s (left - c) has the difference of the arms' shares of people who left as its mean, for any
centre c.

Unit: user; neighbouring relation: add or remove one. A row's L2 norm is at most ``RETENTION_CLIP``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from core.arrays import Bools, Floats
from privacy.engine.dp.mechanisms import noisy_sum

LATE_SHARE = 0.25  # of a trial's time, at its end: who has no decision in it has left
RETENTION_COLUMNS = {"difference": 1.0, "left": 0.3, "people": 0.2}
RETENTION_CLIP = float(np.linalg.norm(list(RETENTION_COLUMNS.values())))


def release_retention(
    candidate: Bools, left: Bools, *, centre: float, sigma: float | None, share: float
) -> dict[str, np.ndarray]:
    """Compute the noised block.

    Args: candidate (U,): whether the person's arm is the candidate's. left (U,): whether the person left. centre: public share of
        people who leave, in [0, 1]. share: of the release's rho.
    Returns: ``retention`` (3,): the sums of 2 s (left - c), of people who left, and of people, with ``retention_sd`` (3,), the
        noise on each, ``retention_rho`` (1,) and ``retention_centre`` (1,).
    """
    scales = np.array(list(RETENTION_COLUMNS.values()))
    rows = retention_rows(candidate, left, centre)
    sums = noisy_sum(rows * scales, clip=RETENTION_CLIP, sigma=sigma, share=share)
    units = np.array([2 * _reach(centre), 1.0, 1.0]) / scales
    return {
        "retention": sums.values * units, "retention_sd": sums.sd * units, "retention_rho": np.array([sums.rho]),
        "retention_centre": np.array([centre]),
    }  # fmt: skip


def retention_rows(candidate: Bools, left: Bools, centre: float) -> Floats:
    """Return each person's vector (U, 3) with entries in [-1, 1], in the order of ``RETENTION_COLUMNS``."""
    signs = np.where(candidate, 1.0, -1.0)
    return np.column_stack([signs * (left - centre) / _reach(centre), left, np.ones(len(left))]).astype(np.float64)


def retention_centre(stored: Mapping[str, float]) -> float:
    """Return the centre from noised numbers of people who ``left`` and of all ``users``."""
    return float(np.clip(stored["left"] / max(stored["users"], 1.0), 0.0, 1.0))


def _reach(centre: float) -> float:
    """Return how far a person may lie from the centre."""
    return max(centre, 1.0 - centre)
