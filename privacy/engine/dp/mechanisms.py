"""Add noise to released sums: integer arithmetic throughout, then OpenDP's discrete Gaussian once.

A person's row is clipped to an L2 ball and rounded toward zero onto an integer grid. Its norm in grid steps is then at most
``steps``, which is checked in integers. Sums of integers are exact, in any order and over any shards.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats, Ints
from core.errors import InputError
from privacy.engine.dp.accounting import LATTICE_STEPS

_MOST_STEPS = 1 << 30  # squares of grid values must fit into int64
_CHUNK_VALUES = 1 << 22


@dataclass(frozen=True)
class NoisyBlock:
    """Released sums ``values`` (k,), with ``sd``, the standard deviation of the noise on each, both in value units.

    ``rho`` (zCDP) is what the noise spent. Without noise, which only benchmarks use, ``sd`` is 0 and ``rho`` infinite. No round
    of a release can store an infinite rho.
    """

    values: Floats
    sd: float
    rho: float


def noisy_sum(
    contributions: Floats, *, clip: float, sigma: float | None, share: float, steps: int = LATTICE_STEPS
) -> NoisyBlock:
    """Sum one row per person, (n, k) -> (k,), each clipped to L2 norm ``clip``, and add noise of sd clip * sigma / sqrt(share).

    ``share`` is the part of the release's rho that this block spends. With ``sigma`` None no noise is added: nobody is protected.
    """
    return noisy_total(
        integer_sum(contributions, clip=clip, steps=steps), clip=clip, sigma=sigma, share=share, steps=steps
    )


def noisy_total(
    total: Ints, *, clip: float, sigma: float | None, share: float, steps: int = LATTICE_STEPS
) -> NoisyBlock:
    """Add discrete Gaussian noise to an integer sum (k,) in grid steps. With ``sigma`` None no noise is added."""
    if sigma is None:
        return NoisyBlock(total.astype(np.float64) * (clip / steps), 0.0, math.inf)
    return noise_once(total, clip=clip, sigma=sigma, share=share, steps=steps)


@dataclass(frozen=True)
class Totals:
    """Exact sums in grid steps by block, over one shard of whole people. Totals of shards may be added in any order."""

    blocks: Mapping[str, Ints]


def add_totals(parts: Iterable[Totals]) -> Totals:
    """Add the totals of all shards, holding one shard in memory at a time. Raises InputError without shards."""
    whole: dict[str, Ints] = {}
    for part in parts:
        whole = {name: whole[name] + total if whole else total for name, total in part.blocks.items()}
    if not whole:
        raise InputError("there are no shards to add; pass the totals of at least one")
    return Totals(whole)


def integer_sum(contributions: Floats, *, clip: float, steps: int = LATTICE_STEPS) -> Ints:
    """Return the exact sum (k,), in grid steps, of rows (n, k) clipped to L2 norm ``clip``.

    Add the sums of all shards before drawing noise.
    """
    n, width = contributions.shape
    rows = max(1, _CHUNK_VALUES // max(width, 1))
    total = np.zeros(width, dtype=np.int64)
    for first in range(0, n, rows):
        total += to_grid(contributions[first : first + rows], clip, steps).sum(axis=0)
    return total


def to_grid(values: Floats, clip: float, steps: int) -> Ints:
    """Clip rows (n, k) to L2 norm ``clip`` and round them toward zero to steps of clip / steps. No row's norm exceeds ``steps``.

    A value that is not finite, or too large for its clip, becomes 0: an exception here would tell that one person is in the sum.
    Raises InputError for an invalid grid.
    """
    if not (math.isfinite(clip) and clip >= sys.float_info.min and 1 <= steps <= _MOST_STEPS):
        raise InputError(
            f"clip {clip} and steps {steps} make no grid; clip must be finite and above 0, steps in 1..{_MOST_STEPS}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        unit = np.asarray(values, dtype=np.float64) / clip
        unit = np.where(np.isfinite(unit), unit, 0.0)
        norm = np.sqrt(np.square(unit).sum(axis=1, keepdims=True))
    scaled = unit / np.maximum(norm, 1.0) * steps
    grid: Ints = np.trunc(scaled).astype(np.int64)
    # Rounding may lift a coordinate onto the next whole step. Such a row is shrunk by far more than any rounding error.
    over = np.square(grid).sum(axis=1) > steps * steps
    grid[over] = np.trunc(scaled[over] * (1 - 1e-9)).astype(np.int64)
    if (np.square(grid).sum(axis=1) > steps * steps).any():
        raise RuntimeError("a clipped row is longer than its bound")
    return grid


def noise_once(total: Ints, *, clip: float, sigma: float, share: float, steps: int = LATTICE_STEPS) -> NoisyBlock:
    """Add discrete Gaussian noise of scale steps * sigma / sqrt(share) to an integer sum (k,). OpenDP's own map gives the rho.

    Raises InputError for a sigma or share that gives no noise, and RuntimeError if the map exceeds share / (2 sigma^2).
    """
    if not (math.isfinite(sigma) and sigma > 0 and 0 < share <= 1):
        raise InputError(f"sigma {sigma} and share {share} give no noise; sigma must be above 0, share in (0, 1]")
    # Some units in the last place more, so that rounding never spends more than the share.
    scale = steps * sigma / math.sqrt(share) * (1 + 16 * sys.float_info.epsilon)
    noisy, rho = _discrete_gaussian(total, scale=scale, sensitivity=float(steps))
    if not rho <= share / (2 * sigma * sigma):
        raise RuntimeError(
            f"the noise would spend a rho of {rho}, more than its share {share} of the release; none was drawn"
        )
    return NoisyBlock(noisy.astype(np.float64) * (clip / steps), scale * (clip / steps), rho)


def _discrete_gaussian(total: Ints, *, scale: float, sensitivity: float) -> tuple[Ints, float]:
    """Draw once from OpenDP's exact sampler. Returns the noisy sum (k,) and the rho that OpenDP's map gives at the sensitivity.

    Values saturate at the ends of int64.
    """
    from opendp.domains import atom_domain, vector_domain
    from opendp.measurements import make_gaussian
    from opendp.metrics import l2_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    measurement = make_gaussian(vector_domain(atom_domain(T="i64"), size=len(total)), l2_distance(T="f64"), scale=scale)
    rho = float(measurement.map(sensitivity))
    return np.array(measurement(total.tolist()), dtype=np.int64), rho
