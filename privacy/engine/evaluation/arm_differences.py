"""Release how much more people stay away, or leave rewards out, in one arm of a trial than in the other: a number a person.

A trial compares rewards a decision. Two kinds of loss show in no reward:

- ``retention``: people who stop coming, or who stay away for days. It is the share of the days in the last quarter of the trial
  on which a person has no decision, available or not. Somebody who left has missed all of them.
- ``reports``: rewards that are missing. It is the share of a person's closed decisions without a reward.

Let x in [0, 1] be a person's number. With s = +1 in the candidate's arm and -1 in the reference's, 2 s (x - c) has the
difference of the arms' means as its mean, for any centre c. Everybody with a decision in the trial counts, whether or not it
has an outcome.

Unit: user; neighbouring relation: add or remove one. A row's L2 norm is at most ``DIFFERENCE_CLIP``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from core.arrays import Bools, Floats
from privacy.engine.dp.mechanisms import noisy_sum

LATE_SHARE = 0.25  # of a trial's time, at its end, whose days without a decision are missed
DIFFERENCE_COLUMNS = {"difference": 1.0, "total": 0.3, "people": 0.2}
DIFFERENCE_CLIP = float(np.linalg.norm(list(DIFFERENCE_COLUMNS.values())))


def release_difference(
    name: str, candidate: Bools, share: np.ndarray, *, centre: float, sigma: float | None, rho_share: float
) -> dict[str, np.ndarray]:
    """Compute one noised block.

    Args: candidate (U,): whether the person's arm is the candidate's. share (U,): x of each person, in [0, 1]. centre: public
        mean of x, in [0, 1]. rho_share: of the release's rho.
    Returns: ``name`` (3,): the sums of 2 s (x - c), of x, and of people, with ``name_sd`` (3,), the noise on each, ``name_rho``
        (1,) and ``name_centre`` (1,).
    """
    scales = np.array(list(DIFFERENCE_COLUMNS.values()))
    rows = difference_rows(candidate, np.asarray(share, float), centre)
    sums = noisy_sum(rows * scales, clip=DIFFERENCE_CLIP, sigma=sigma, share=rho_share)
    units = np.array([2 * _reach(centre), 1.0, 1.0]) / scales
    return {
        name: sums.values * units, f"{name}_sd": sums.sd * units, f"{name}_rho": np.array([sums.rho]),
        f"{name}_centre": np.array([centre]),
    }  # fmt: skip


def difference_rows(candidate: Bools, share: Floats, centre: float) -> Floats:
    """Return each person's vector (U, 3) with entries in [-1, 1], in the order of ``DIFFERENCE_COLUMNS``."""
    signs, inside = np.where(candidate, 1.0, -1.0), np.clip(share, 0.0, 1.0)
    return np.column_stack([signs * (inside - centre) / _reach(centre), inside, np.ones(len(inside))])


def difference_centre(total: float, people: float) -> float:
    """Return the centre from a noised sum of x and a noised number of people."""
    return float(np.clip(total / max(people, 1.0), 0.0, 1.0))


def read_difference(stored: Mapping[str, np.ndarray], name: str) -> tuple[dict[str, float], dict[str, float], float]:
    """Return a block's noised sums and the noise on each, by column, and its centre."""
    columns = tuple(DIFFERENCE_COLUMNS)
    value, sd = (dict(zip(columns, stored[part].tolist(), strict=True)) for part in (name, f"{name}_sd"))
    return value, sd, float(stored[f"{name}_centre"][0])


def _reach(centre: float) -> float:
    """Return how far a person may lie from the centre."""
    return max(centre, 1.0 - centre)
