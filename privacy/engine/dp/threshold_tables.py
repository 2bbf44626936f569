"""Probability tables of integers that sum to 2^63, for grid noise and randomised response. None spends more than its epsilon.

A table is rounded from 60 decimals. The probability ratio that privacy bounds is then computed from the table's integers, not
from the formula. Where rounding lifts the ratio above e^epsilon, the table is rebuilt for a slightly smaller epsilon. No
decision is taken in floating point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import numpy as np

THRESHOLD_STEPS = 256  # grid steps in a number's range
THRESHOLD_WHOLE = 1 << 63
LEAST_EPSILON = 1e-7  # a column: below it, weights of 2^-63 are too coarse to differ by so little from step to step
MOST_EPSILON = 30.0  # used of a column's epsilon: beyond it the rarest outcomes would come near to 2^-63 themselves
_EXACT = Context(prec=60)
_SAFE = Decimal("1e-50")  # far above the rounding error of 60 digits, far below anything that matters
_FIRST_SHAVE = 2.0**-40


@lru_cache(maxsize=64)
def noise_table(epsilon: float) -> tuple[int, ...]:
    """Return weights (2 STEPS + 1,) of two-sided geometric noise from -STEPS to STEPS. All noise beyond is put on the ends.

    The output is clamped to the grid, so noise beyond STEPS has the same effect as STEPS: nothing is cut off. The total
    variation distance from the geometric distribution (of the epsilon finally used) is at most 2^-55 < 3e-17 per draw. Above
    epsilon 30 the noise is that of 30. Raises ValueError where no table keeps the epsilon, which is far below 1e-7.
    """
    target, shave = Fraction(min(epsilon, MOST_EPSILON)), _FIRST_SHAVE
    bound = _exp_below(target)
    while shave < 1:
        table = geometric_table(target * Fraction(1 - shave))
        if number_ratio(table) <= bound:
            return table
        shave *= 2
    raise ValueError(f"no table of 63-bit weights spends as little as {epsilon}")


def geometric_table(epsilon: Fraction) -> tuple[int, ...]:
    """Return the weights for exactly this epsilon; rounding may lift their ratio above e^epsilon.

    Weights are differences of rounded tails, so rounding errors do not add up: P(noise >= k) = decay^k / (1 + decay) for k > 0.
    """
    with localcontext(_EXACT):
        decay = (-Decimal(epsilon.numerator) / (Decimal(epsilon.denominator) * THRESHOLD_STEPS)).exp()
        tails, tail = [], THRESHOLD_WHOLE / (1 + decay)
        for _ in range(THRESHOLD_STEPS):
            tail *= decay
            tails.append(int(tail.to_integral_value()))
    right = [nearer - farther for nearer, farther in pairwise(tails)]
    return (tails[-1], *reversed(right), THRESHOLD_WHOLE - 2 * tails[0], *right, tails[-1])


@lru_cache(maxsize=64)
def category_table(epsilon: float, count: int) -> tuple[int, int]:
    """Return the weight that a category stays, and the weight of each single other category, among ``count`` categories.

    With one category it always stays.
    """
    if count < 2:
        return THRESHOLD_WHOLE, 0
    other = math.ceil(THRESHOLD_WHOLE / (_exp_below(Fraction(min(epsilon, MOST_EPSILON))) + count - 1))
    return THRESHOLD_WHOLE - other * (count - 1), other


@lru_cache(maxsize=64)
def number_ratio(table: tuple[int, ...]) -> Fraction:
    """Return the largest ratio of one output's probability under two inputs, over all pairs of inputs and all outputs.

    Output o comes from input i by noise o - i; at the ends of the grid all noise beyond counts too. Raises ValueError if an
    output is possible from one input and not from another.
    """
    tails = np.cumsum(np.array(table[::-1], dtype=object))  # tails[m]: weight of noise of STEPS - m or more
    if min(table) < 1:
        raise ValueError("the table has a weight below 1, so an output is impossible from some input")
    # The upper end of the grid as an output: its probability from the upper end over that from the lower end.
    ends = Fraction(int(tails[THRESHOLD_STEPS]), int(tails[0]))
    inner = (table[output : output + THRESHOLD_STEPS + 1] for output in range(1, THRESHOLD_STEPS))
    return max(ends, *(Fraction(max(seen), min(seen)) for seen in inner))


def category_ratio(table: tuple[int, int]) -> Fraction:
    """Return the largest ratio of one output's probability under two inputs of randomised response."""
    stays, other = table
    return Fraction(stays, other or stays)


def table_epsilon_of_number(table: Sequence[int]) -> float:
    """Return the epsilon that a noise table spends: the logarithm of its largest ratio, rounded up."""
    return float_above(log_above(number_ratio(tuple(table))))


def table_epsilon_of_category(table: tuple[int, int]) -> float:
    """Return the epsilon that a randomised response table spends, rounded up."""
    return float_above(log_above(category_ratio(table)))


def log_above(ratio: Fraction) -> Fraction:
    """Return the natural logarithm of a ratio, never below the true value and at most 2e-50 above it; exactly 0 for 1."""
    if ratio == 1:
        return Fraction(0)
    with localcontext(_EXACT):
        return Fraction((Decimal(ratio.numerator) / Decimal(ratio.denominator)).ln() + _SAFE)


def float_above(value: Fraction) -> float:
    """Return the smallest float that is not below a fraction."""
    nearest = float(value)
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def noise_sd(epsilon: float) -> float:
    """Return the standard deviation of the two-sided geometric noise before clamping, in grid steps."""
    rate = min(epsilon, MOST_EPSILON) / THRESHOLD_STEPS
    return math.sqrt(2 * math.exp(-rate)) / -math.expm1(-rate)


def _exp_below(epsilon: Fraction) -> Fraction:
    """Return e^epsilon reduced by 1e-48 of itself, so that ``log_above`` of any ratio up to it is at most epsilon."""
    with localcontext(_EXACT):
        return Fraction((Decimal(epsilon.numerator) / Decimal(epsilon.denominator)).exp() * (1 - 100 * _SAFE))
