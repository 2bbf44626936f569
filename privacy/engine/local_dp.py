"""Rows under local differential privacy, in bulk: exact tables of 63-bit whole numbers over the operating system's randomness.

A number is put on a public grid of its bounds, gets two-sided geometric noise and is clamped to the bounds again; a category
is replaced by randomised response. Probabilities are whole multiples of 2^-63, so nothing is drawn in floating point; the ratio
that privacy bounds is computed from these very numbers. At epsilon 1 or less the noise is wider than the range.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from privacy.engine.columns import Column
from r3al_project.common.errors import InputError

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]
STEPS = 256  # of a number's range
_WHOLE = 1 << 63
_SHAVE = 1e-12  # of the nominal epsilon, so that rounding to whole numbers never spends more than it
_CHUNK = 1 << 20


@dataclass(frozen=True)
class LocalRows:
    """``values`` (n, F) within bounds. ``epsilon``: what a row spends by the exact tables. ``sd`` (F,): of a number's noise
    before it is clamped (NaN for categories); ``flip`` (F,): how often a category is replaced (NaN for numbers).
    """

    values: Floats
    epsilon: float
    sd: Floats
    flip: Floats


def local_rows(values: Floats, *, columns: Sequence[Column], epsilon: float) -> LocalRows:
    """Rows (n, F) within public bounds, each spending ``epsilon``, split evenly over the columns. Raises InputError."""
    _check(values, columns, epsilon)
    share = epsilon / len(columns)
    out, spent = np.empty_like(values), 0.0
    sd, flip = np.full(len(columns), np.nan), np.full(len(columns), np.nan)
    for j, column in enumerate(columns):
        if column.categories:
            table = category_table(share, len(column.categories))
            out[:, j] = _replaced(values[:, j], table, len(column.categories))
            flip[j] = 1 - table[0] / _WHOLE
            spent += table_epsilon_of_category(table)
        else:
            noise = noise_table(share)
            step = (column.high - column.low) / STEPS
            grid = np.rint((values[:, j] - column.low) / step).astype(np.int64)
            out[:, j] = column.low + step * np.clip(grid + draw(noise, len(values)) - STEPS, 0, STEPS)
            sd[j] = step * noise_sd(share)
            spent += table_epsilon_of_number(noise)
    return LocalRows(np.clip(out, [c.low for c in columns], [c.high for c in columns]), spent, sd, flip)


@lru_cache(maxsize=64)
def noise_table(epsilon: float) -> tuple[int, ...]:
    """(2 STEPS + 1,) whole numbers that sum to 2^63: two-sided geometric noise from -STEPS to STEPS, all beyond at the ends.

    An output is clamped to the grid, so noise beyond STEPS says no more than STEPS does.
    """
    decay = math.exp(-epsilon * (1 - _SHAVE) / STEPS)
    inner = [decay**z * (1 - decay) / (1 + decay) for z in range(STEPS)]
    right = [int(p * _WHOLE) for p in inner[1:]]
    end = int(decay**STEPS / (1 + decay) * _WHOLE)
    centre = _WHOLE - 2 * (sum(right) + end)
    return (end, *reversed(right), centre, *right, end)


def noise_sd(epsilon: float) -> float:
    """Standard deviation of the untruncated noise, in grid steps."""
    decay = math.exp(-epsilon / STEPS)
    return math.sqrt(2 * decay) / (1 - decay)


@lru_cache(maxsize=64)
def category_table(epsilon: float, count: int) -> tuple[int, int]:
    """Whole numbers of 2^-63: that a category stays, and that it becomes one given other."""
    if count < 2:
        return _WHOLE, 0
    other = math.ceil(_WHOLE / (math.exp(epsilon * (1 - _SHAVE)) + count - 1))
    return _WHOLE - other * (count - 1), other


def table_epsilon_of_number(table: Sequence[int]) -> float:
    """Largest log ratio of one output's probability under two inputs, from the table itself."""
    tails = np.cumsum(np.array(table[::-1], dtype=object))  # tails[m]: probability of noise >= STEPS - m
    ends = Fraction(int(tails[STEPS]), int(tails[0]))  # the upper end from the upper and from the lower end
    inner = max(Fraction(max(row), min(row)) for row in (table[o : o + STEPS + 1] for o in range(1, STEPS)))
    return _log(max(ends, inner))


def table_epsilon_of_category(table: tuple[int, int]) -> float:
    """The same of randomised response."""
    stays, other = table
    return 0.0 if not other else _log(Fraction(stays, other))


def _log(ratio: Fraction) -> float:
    return math.log(ratio.numerator) - math.log(ratio.denominator)


def draw(table: Sequence[int], count: int) -> npt.NDArray[np.int64]:
    """(count,) indices, each as probable as the table says, by its inverse."""
    bounds = np.cumsum(np.array(table, dtype=object)).astype(np.uint64)
    out = np.empty(count, dtype=np.int64)
    for first in range(0, count, _CHUNK):
        some = min(_CHUNK, count - first)
        out[first : first + some] = np.searchsorted(bounds, _words(some), side="right")
    return out


def _words(count: int) -> Words:
    """(count,) uniform whole numbers of 63 bits."""
    return np.frombuffer(os.urandom(8 * count), dtype="<u8") >> np.uint64(1)


def _replaced(values: Floats, table: tuple[int, int], count: int) -> Floats:
    stays, other = table
    if not other:
        return values.copy()
    picked = draw((stays, *([other] * (count - 1))), len(values))
    return np.mod(values + picked, count)  # 0: it stays; else one of the others, each as probable


def _check(values: Floats, columns: Sequence[Column], epsilon: float) -> None:
    if not columns or values.ndim != 2 or values.shape[1] != len(columns):
        raise InputError(f"rows {values.shape} do not fit {len(columns)} columns")
    if not math.isfinite(epsilon) or epsilon < 1e-6:
        raise InputError(f"epsilon is {epsilon}; a row needs a finite one of at least 0.000001")
    low, high = np.array([c.low for c in columns]), np.array([c.high for c in columns])
    if not ((values >= low) & (values <= high)).all():
        raise InputError(
            "a value lies outside its column's public bounds or is not known; clamp or leave out such rows first"
        )
