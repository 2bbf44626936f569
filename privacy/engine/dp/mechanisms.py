"""Noise for released sums: integer arithmetic throughout, then OpenDP's discrete Gaussian once.

A person's row is clipped to an L2 ball and put on an integer grid by rounding toward zero, so that its norm in grid steps is at
most ``steps``, which is checked in integers. Sums of integers are exact, in any order and over any shards.
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
    """Released sums. ``values`` (k,) and ``sd``, the noise on each, in value units; ``rho`` is what the noise spent (zCDP).

    Without noise (benchmarks alone) ``sd`` is 0 and ``rho`` infinite, which no round of a release can hold.
    """

    values: Floats
    sd: float
    rho: float


def noisy_sum(
    contributions: Floats, *, clip: float, sigma: float | None, share: float, steps: int = LATTICE_STEPS
) -> NoisyBlock:
    """Sum of one row a person, (n, k) -> (k,), each clipped to L2 norm ``clip``, plus noise of sd clip * sigma / sqrt(share).

    ``share`` is the part of the release's rho that this block spends. ``sigma`` None adds no noise and protects nobody.
    """
    return noisy_total(
        integer_sum(contributions, clip=clip, steps=steps), clip=clip, sigma=sigma, share=share, steps=steps
    )


def noisy_total(
    total: Ints, *, clip: float, sigma: float | None, share: float, steps: int = LATTICE_STEPS
) -> NoisyBlock:
    """``noise_once`` on an integer sum, or with ``sigma`` None no noise."""
    if sigma is None:
        return NoisyBlock(total.astype(np.float64) * (clip / steps), 0.0, math.inf)
    return noise_once(total, clip=clip, sigma=sigma, share=share, steps=steps)


@dataclass(frozen=True)
class Totals:
    """Exact sums in grid steps by block, over one shard of whole people; those of all shards add up, in any order."""

    blocks: Mapping[str, Ints]


def add_totals(parts: Iterable[Totals]) -> Totals:
    """The sums over all shards, one shard in memory at a time. Raises InputError for none."""
    whole: dict[str, Ints] = {}
    for part in parts:
        whole = {name: whole[name] + total if whole else total for name, total in part.blocks.items()}
    if not whole:
        raise InputError("there is no shard to add")
    return Totals(whole)


def integer_sum(contributions: Floats, *, clip: float, steps: int = LATTICE_STEPS) -> Ints:
    """Exact sum (k,) of the clipped rows (n, k) in grid steps. Shards of people are added before ``noise_once``."""
    n, width = contributions.shape
    rows = max(1, _CHUNK_VALUES // max(width, 1))
    total = np.zeros(width, dtype=np.int64)
    for first in range(0, n, rows):
        total += to_grid(contributions[first : first + rows], clip, steps).sum(axis=0)
    return total


def to_grid(values: Floats, clip: float, steps: int) -> Ints:
    """Rows (n, k) clipped to L2 norm ``clip``, in steps of clip / steps, toward zero: no row's norm exceeds ``steps``."""
    if not (math.isfinite(clip) and clip >= sys.float_info.min and 1 <= steps <= _MOST_STEPS):
        raise InputError(f"clip {clip} and steps {steps} are no grid: clip must be above 0, steps in 1..{_MOST_STEPS}")
    with np.errstate(over="ignore", invalid="ignore"):
        unit = np.asarray(values, dtype=np.float64) / clip
        norm = np.sqrt(np.square(unit).sum(axis=1, keepdims=True))
    if not np.isfinite(unit).all():
        raise InputError("a contribution is not a finite number, or is too large for its clip; nothing was summed")
    scaled = unit / np.maximum(norm, 1.0) * steps
    grid: Ints = np.trunc(scaled).astype(np.int64)
    # Floating point may lift a coordinate onto the next whole step; such a row is pulled in by far more than any rounding.
    over = np.square(grid).sum(axis=1) > steps * steps
    grid[over] = np.trunc(scaled[over] * (1 - 1e-9)).astype(np.int64)
    if (np.square(grid).sum(axis=1) > steps * steps).any():
        raise RuntimeError("a clipped row is longer than its bound")
    return grid


def noise_once(total: Ints, *, clip: float, sigma: float, share: float, steps: int = LATTICE_STEPS) -> NoisyBlock:
    """Discrete Gaussian noise of scale steps * sigma / sqrt(share) on an integer sum (k,), charged by the library's own map.

    Raises InputError for a sigma or share that gives no noise, and RuntimeError if the map exceeds share / (2 sigma^2).
    """
    if not (math.isfinite(sigma) and sigma > 0 and 0 < share <= 1):
        raise InputError(f"sigma {sigma} and share {share} give no noise; sigma must be above 0, share in (0, 1]")
    # Some units in the last place more, so that rounding never spends above the share.
    scale = steps * sigma / math.sqrt(share) * (1 + 16 * sys.float_info.epsilon)
    noisy, rho = _discrete_gaussian(total, scale=scale, sensitivity=float(steps))
    if not rho <= share / (2 * sigma * sigma):
        raise RuntimeError(f"the noise would spend {rho} of rho, more than its share of the release")
    return NoisyBlock(noisy.astype(np.float64) * (clip / steps), scale * (clip / steps), rho)


def _discrete_gaussian(total: Ints, *, scale: float, sensitivity: float) -> tuple[Ints, float]:
    """One draw of OpenDP's exact sampler and its map at the L2 sensitivity, in rho. Saturates at the ends of int64."""
    from opendp.domains import atom_domain, vector_domain
    from opendp.measurements import make_gaussian
    from opendp.metrics import l2_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    measurement = make_gaussian(vector_domain(atom_domain(T="i64"), size=len(total)), l2_distance(T="f64"), scale=scale)
    rho = float(measurement.map(sensitivity))
    return np.array(measurement(total.tolist()), dtype=np.int64), rho
